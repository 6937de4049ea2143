//! The public error codes that this side can give.

/// Lists each code once: its name here, its public form, and the option that raises it if it is a limit.
macro_rules! codes {
    ($($(#[$documentation:meta])* $name:ident = $text:literal $(raised by $option:literal)?;)*) => {
        /// What kind of failure it is, in a form that stays. The table of all codes, with what each means and
        /// what to do, is `ts/error-codes.ts`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($(#[$documentation])* $name,)*
        }

        impl Code {
            /// Every code that this side can give.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The public form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// The public name of the option that raises it, if it tells of a limit.
            #[must_use]
            pub const fn option(self) -> Option<&'static str> {
                match self {
                    $($(Self::$name => Some($option),)?)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// This machine offers no usable hypervisor.
    NoHypervisor = "ERR_AMPOULE_NO_HYPERVISOR";
    /// The hypervisor refused or failed an operation.
    Hypervisor = "ERR_AMPOULE_HYPERVISOR";
    /// An option is not valid.
    InvalidArgument = "ERR_AMPOULE_INVALID_ARGUMENT";
    /// The executable cannot be loaded.
    InvalidGuest = "ERR_AMPOULE_INVALID_GUEST";
    /// The guest speaks another version of the guest ABI.
    IncompatibleGuest = "ERR_AMPOULE_INCOMPATIBLE_GUEST";
    /// The guest gave up.
    GuestAbort = "ERR_AMPOULE_GUEST_ABORT";
    /// The guest was stopped by a processor exception or another forbidden act.
    GuestFault = "ERR_AMPOULE_GUEST_FAULT";
    /// The guest's program ended.
    GuestExited = "ERR_AMPOULE_GUEST_EXITED";
    /// The guest was sent a signal for which it has a handler.
    GuestSignal = "ERR_AMPOULE_GUEST_SIGNAL";
    /// The guest broke the rules of the channel.
    Protocol = "ERR_AMPOULE_PROTOCOL";
    /// The call took too long.
    Timeout = "ERR_AMPOULE_TIMEOUT" raised by "timeoutMs";
    /// The call used too much CPU time.
    CpuTime = "ERR_AMPOULE_CPU_TIME" raised by "cpuTimeMs";
    /// The guest needs more memory than it was given.
    MemoryLimit = "ERR_AMPOULE_MEMORY_LIMIT" raised by "memory";
    /// A message is larger than the channel.
    MessageTooLarge = "ERR_AMPOULE_MESSAGE_TOO_LARGE" raised by "limits.message";
    /// A message is made of too many items.
    ItemLimit = "ERR_AMPOULE_ITEM_LIMIT" raised by "limits.items";
    /// The guest wrote too much output.
    OutputLimit = "ERR_AMPOULE_OUTPUT_LIMIT" raised by "limits.output";
    /// The guest called host functions too often.
    HostCallLimit = "ERR_AMPOULE_HOST_CALL_LIMIT" raised by "limits.hostCalls";
    /// The call was cancelled by its signal.
    Aborted = "ERR_AMPOULE_ABORTED";
    /// The sandbox was killed.
    Killed = "ERR_AMPOULE_KILLED";
    /// The sandbox was closed.
    Closed = "ERR_AMPOULE_CLOSED";
    /// The sandbox cannot be used since an earlier failure.
    Poisoned = "ERR_AMPOULE_POISONED";
    /// A restore of the sandbox failed.
    Broken = "ERR_AMPOULE_BROKEN";
    /// There is no such snapshot.
    SnapshotNotFound = "ERR_AMPOULE_SNAPSHOT_NOT_FOUND";
    /// A snapshot on disk is damaged.
    CorruptSnapshot = "ERR_AMPOULE_CORRUPT_SNAPSHOT";
    /// The snapshot cannot be used here.
    IncompatibleSnapshot = "ERR_AMPOULE_INCOMPATIBLE_SNAPSHOT";
    /// The host's file system refused an operation on a store.
    Store = "ERR_AMPOULE_STORE";
    /// The sandbox is doing something else.
    Busy = "ERR_AMPOULE_BUSY";
}

impl std::fmt::Display for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;
    use std::collections::HashSet;

    /// A source file of the TypeScript API.
    fn typescript(name: &str) -> String {
        let path = format!("{}/../../ts/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn each_code_is_in_the_public_table_and_is_another_one() {
        let table = typescript("error-codes.ts");
        let mut seen = HashSet::new();
        for code in Code::ALL {
            let text = code.to_string();
            assert!(table.contains(&format!("\n  {text}: {{\n")), "{text}");
            assert!(seen.insert(text), "{code} stands here twice");
        }
    }

    #[test]
    fn each_limit_is_raised_by_the_option_that_the_public_table_names() {
        let errors = typescript("errors.ts");
        let (_, table) = errors.split_once("export const LIMIT_OPTIONS").unwrap();
        let (table, _) = table.split_once("};").unwrap();
        let limits = Code::ALL.iter().filter_map(|code| Some((code, code.option()?)));
        let lines: Vec<_> =
            limits.map(|(code, option)| format!("  {code}: \"{option}\",")).collect();
        for line in &lines {
            assert!(table.contains(line), "{line}");
        }
        assert_eq!(table.matches("ERR_AMPOULE_").count(), lines.len());
    }
}
