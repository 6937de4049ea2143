//! Personalities as plain data, and what comes back from data that nobody can trust.

use super::arbitrary::system_call;
use super::{Guest, SCRATCH};
use crate::{Answer, OutputStream, Personality, PersonalityState};
use proptest::prelude::*;
use serde_json::Value;
use std::sync::Arc;

fn saved(personality: &Personality) -> (Value, Vec<Arc<[u8]>>) {
    let (state, contents) = personality.state();
    assert_eq!(state.file_count(), contents.len());
    (serde_json::to_value(state).unwrap(), contents)
}

fn loaded(state: Value, contents: &[Arc<[u8]>]) -> Option<Personality> {
    let state: PersonalityState = serde_json::from_value(state).ok()?;
    Personality::from_state(&state, contents).ok()
}

/// Goes on with a personality that went through its saved form.
fn reload(guest: &mut Guest) {
    let (state, contents) = saved(&guest.personality);
    let mut personality = loaded(state.clone(), &contents).unwrap();
    let clock = Arc::clone(&guest.clock);
    personality.set_clock(clock);
    let (again, shared) = saved(&personality);
    assert_eq!(again, state);
    assert!(contents.iter().zip(&shared).all(|(one, other)| Arc::ptr_eq(one, other)));
    guest.personality = personality;
}

#[test]
fn a_loaded_guest_goes_on_where_it_was() {
    let large = "0123456789".repeat(500);
    let mut guest = Guest::with_files(&[("/data/large", &large), ("/data/small", "abcdef")]);
    let (large, small) = (guest.open("/data/large"), guest.open("/data/small"));
    let copy = guest.ok("dup", [small]);
    let out = guest.room(64);
    guest.ok("read", [large, out, 13]);
    guest.ok("read", [small, out, 2]);
    let ends = guest.room(8);
    guest.ok("pipe", [ends]);
    let (reader, writer) = (guest.u32_at(ends).into(), guest.u32_at(ends + 4).into());
    let text = guest.text("in the pipe");
    guest.ok("write", [writer, text, 11]);
    let directory = guest.text("/data");
    guest.ok("chdir", [directory]);
    let heap = guest.ok("brk", [0]);
    guest.ok("brk", [heap + 4096]);
    let action = guest.words(&[1, 0, 0, 0]);
    guest.ok("rt_sigaction", [10, action, 0, 8]);
    guest.ok("umask", [0o77]);
    guest.personality.provide_input(b"unread".to_vec());
    guest.ok("write", [1, text, 2]);

    reload(&mut guest);
    assert!(guest.personality.take_output(OutputStream::Stdout).is_empty());
    assert_eq!(guest.personality.counts().count(), 0);
    for (descriptor, expected) in
        [(large, "34567"), (small, "cde"), (copy, "f"), (reader, "in the"), (0, "unread")]
    {
        let count = guest.ok("read", [descriptor, out, expected.len() as u64]);
        assert_eq!(guest.bytes(out, count), expected.as_bytes());
    }
    assert_eq!(guest.contents("small"), b"abcdef");
    assert_eq!(guest.ok("brk", [0]), heap + 4096);
    assert_eq!(guest.ok("umask", [0]), 0o77);
    guest.ok("rt_sigaction", [10, 0, out, 8]);
    assert_eq!(guest.u64_at(out), 1);
    assert!(matches!(guest.call("kill", [2, 10]), Answer::Return(0)));
    assert!(guest.contents("/proc/self/cmdline").is_empty());
}

/// Every leaf of a JSON value, to be replaced.
fn leaves(value: &mut Value, path: String, visit: &mut impl FnMut(&str, &mut Value)) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                leaves(item, format!("{path}/{index}"), visit);
            }
        }
        Value::Object(entries) => {
            for (name, entry) in entries.iter_mut() {
                leaves(entry, format!("{path}/{name}"), visit);
            }
        }
        leaf => visit(&path, leaf),
    }
}

/// Leaves without an invariant: any number or text will do.
fn is_free(path: &str) -> bool {
    let free = [
        "offset",
        "flags",
        "limits",
        "Slack",
        "computed",
        "served",
        "peak",
        "interval",
        "due",
        "mask",
        "alternate",
        "info",
        "outOfMemory",
        "Actions",
    ];
    free.iter().any(|word| path.contains(word))
}

#[test]
fn states_that_no_guest_has_are_refused() {
    let mut guest = Guest::with_files(&[("/data/large", &"x".repeat(5000))]);
    guest.open("/data/large");
    guest.open("/dev/null");
    guest.open("/dev");
    let ends = guest.room(8);
    guest.ok("pipe", [ends]);
    let all = guest.words(&[u64::MAX]);
    guest.ok("rt_sigprocmask", [2, all, 0, 8]);
    guest.ok("kill", [2, 10]);
    guest.ok("alarm", [100]);
    let (state, contents) = saved(&guest.personality);
    let mut paths = Vec::new();
    leaves(&mut state.clone(), String::new(), &mut |path, leaf| {
        if leaf.is_number() && !is_free(path) {
            paths.push(path.to_owned());
        }
    });
    assert!(paths.len() > 40, "{paths:?}");
    for path in &paths {
        for value in [u64::MAX / 2, u64::MAX] {
            let mut changed = state.clone();
            *changed.pointer_mut(path).unwrap() = value.into();
            assert!(loaded(changed, &contents).is_none(), "{path} = {value:#x}");
        }
    }
    assert!(loaded(state.clone(), &[]).is_none());
    assert!(loaded(state, &contents).is_some());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn any_state_comes_back_as_it_was(
        calls in prop::collection::vec(system_call(), 1..60),
    ) {
        let mut guest = Guest::with_files(&[("/etc/file", "contents"), ("/f", "")]);
        guest.space.write(SCRATCH, b"/proc/self/fd/0/../../../etc/file\0").unwrap();
        for (index, call) in calls.iter().enumerate() {
            let answer = guest.personality.system_call(&mut guest.space, call);
            if !answer.is_parked() && index % 7 == 0 {
                reload(&mut guest);
            }
        }
    }

    #[test]
    fn no_state_makes_a_guest_that_panics(
        before in prop::collection::vec(system_call(), 0..20),
        at in any::<prop::sample::Index>(),
        value in prop_oneof![
            prop::sample::select(vec![0_u64, 1, 2, 3, 63, 64, 511, 1023, 1024, 4096, 1 << 32, 1 << 63]),
            any::<u64>(),
        ],
        after in prop::collection::vec(system_call(), 1..40),
    ) {
        let mut guest = Guest::with_files(&[("/etc/file", "contents"), ("/f", "")]);
        for call in &before {
            guest.personality.system_call(&mut guest.space, call);
        }
        let (mut state, contents) = saved(&guest.personality);
        let mut count = 0;
        leaves(&mut state, String::new(), &mut |_, leaf| count += usize::from(leaf.is_number()));
        let chosen = at.index(count);
        let mut seen = 0;
        leaves(&mut state, String::new(), &mut |_, leaf| {
            if leaf.is_number() {
                if seen == chosen {
                    *leaf = value.into();
                }
                seen += 1;
            }
        });
        if let Some(personality) = loaded(state, &contents) {
            guest.personality = personality;
            for call in &after {
                guest.personality.system_call(&mut guest.space, call);
            }
        }
    }
}
