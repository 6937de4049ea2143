//! What a process uses, has set and may read back, as plain data.

use super::error::{StateError, ensure};
use crate::kernel::Kernel;
use crate::kernel::accounting::Accounting;
use crate::kernel::identity::Identity;
use crate::kernel::limits::Limits;
use crate::kernel::timers::{TIMERS, Timer};
use serde::{Deserialize, Serialize};

/// The states of the small families, in the order in which they are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ProcessState {
    limits: Limits,
    file_mode_mask: u64,
    persona: u64,
    computed: u64,
    served: u64,
    peak_memory: u64,
    timers: [Timer; TIMERS],
    nice: i32,
    is_dumpable: bool,
    timer_slack: u64,
    gets_no_privileges: bool,
    parent_death_signal: u32,
}

impl ProcessState {
    pub(super) fn of(kernel: &Kernel) -> Self {
        // Everything is named, so that a new field cannot be forgotten here.
        let Accounting { computed, served, peak_memory } = kernel.accounting;
        let Identity {
            file_mode_mask,
            persona,
            nice,
            is_dumpable,
            timer_slack,
            gets_no_privileges,
            parent_death_signal,
        } = kernel.identity;
        Self {
            limits: kernel.limits.clone(),
            file_mode_mask,
            persona,
            computed,
            served,
            peak_memory,
            timers: kernel.timers,
            nice,
            is_dumpable,
            timer_slack,
            gets_no_privileges,
            parent_death_signal,
        }
    }

    /// Brings it back, once it is [checked](Self::check).
    pub(super) fn bring(&self, kernel: &mut Kernel) {
        let Self {
            ref limits,
            file_mode_mask,
            persona,
            computed,
            served,
            peak_memory,
            timers,
            nice,
            is_dumpable,
            timer_slack,
            gets_no_privileges,
            parent_death_signal,
        } = *self;
        kernel.limits = limits.clone();
        kernel.accounting = Accounting { computed, served, peak_memory };
        kernel.timers = timers;
        kernel.identity = Identity {
            file_mode_mask,
            persona,
            nice,
            is_dumpable,
            timer_slack,
            gets_no_privileges,
            parent_death_signal,
        };
    }

    pub(super) fn check(&self) -> Result<(), StateError> {
        ensure(self.file_mode_mask <= 0o777 && self.persona <= u32::MAX.into(), "process")?;
        ensure((-20..20).contains(&self.nice) && self.parent_death_signal <= 64, "process")
    }
}
