//! Every transition, one event at a time, from every state.

use super::{Duty, Held, Operation, Phase, PhaseMachine, Refusal, Thread, Todo};
use Operation::{Call, Restore, Resume, Snapshot, Start};
use Phase::{Closed, Idle, Parked, Queued, Running};
use Thread::{Owners, Runners};

/// What a runner has to do, by a letter; `'-'` when nothing was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Job(char);

impl Default for Job {
    fn default() -> Self {
        Self('-')
    }
}

type Machine = PhaseMachine<Job, char>;

const PHASES: [Phase; 5] = [Idle, Queued, Running, Parked, Closed];
const THREADS: [Thread; 2] = [Owners, Runners];
const BOTH: [bool; 2] = [false, true];

/// A machine in a state, last run by runner 7 and with something left to do and to be taken.
fn machine(phase: Phase, thread: Thread, closing: bool) -> Machine {
    PhaseMachine { phase, thread, closing, job: Job('j'), affinity: Some(7), report: Some('r') }
}

/// Every state: phase, whose thread, and whether it is to be closed.
fn states() -> impl Iterator<Item = Machine> {
    PHASES.into_iter().flat_map(|phase| {
        let of = move |thread| BOTH.map(|closing| machine(phase, thread, closing));
        THREADS.into_iter().flat_map(of)
    })
}

/// A running phase that was taken in phase `from`.
fn held(from: Phase) -> Held {
    Held { from }
}

const QUEUED: Todo = Todo::Enqueue { affinity: Some(7) };

#[test]
fn a_new_sandbox_is_idle_with_nothing_to_do_or_to_say() {
    let mut machine = Machine::new();
    assert_eq!(machine.phase(), Idle);
    assert_eq!(machine.take_report(), None);
    // It was not run anywhere yet.
    let held = machine.claim(Start, Runners).unwrap();
    assert_eq!(machine.accept(held, Job('s')), Todo::Enqueue { affinity: None });
    let (_, duty) = machine.begin_turn(3);
    assert_eq!(duty, Duty::Work(Job('s')));
}

#[test]
fn an_operation_is_possible_in_its_phases_and_refused_in_a_word_elsewhere() {
    const PARKED: &str = "waiting for a host function";
    // Columns as in `PHASES`; [`None`] where it is possible.
    let table = [
        (Start, "start", [None, Some("running"), Some("running"), Some(PARKED), Some("closed")]),
        (Call, "be called", [None, Some("running"), Some("running"), Some(PARKED), Some("closed")]),
        (
            Resume,
            "be resumed",
            [Some("idle"), Some("running"), Some("running"), None, Some("closed")],
        ),
        (
            Snapshot,
            "be snapshotted",
            [None, Some("running"), Some("running"), Some(PARKED), Some("closed")],
        ),
        // It may cut a call short that waits for its owner.
        (Restore, "be restored", [None, Some("running"), Some("running"), None, Some("closed")]),
    ];
    for (operation, words, columns) in table {
        for (phase, refused) in PHASES.into_iter().zip(columns) {
            for (before, thread) in THREADS.into_iter().flat_map(|a| THREADS.map(|b| (a, b))) {
                let mut open = machine(phase, before, false);
                let unchanged = open.clone();
                let claimed = open.claim(operation, thread);
                let what = format!("{operation:?} in {phase:?}");
                match refused {
                    None => {
                        assert_eq!(claimed, Ok(held(phase)), "{what}");
                        let running = Machine { phase: Running, thread, ..unchanged };
                        assert_eq!(open, running, "{what}");
                    }
                    Some(state) => {
                        assert_eq!(claimed, Err(Refusal { state, operation: words }), "{what}");
                        assert_eq!(open, unchanged, "{what}");
                    }
                }
                // To whom it was said that it is to be closed, it is closed.
                let mut closing = machine(phase, before, true);
                let unchanged = closing.clone();
                let refusal = Refusal { state: "closed", operation: words };
                assert_eq!(closing.claim(operation, thread), Err(refusal), "{what}");
                assert_eq!(closing, unchanged, "{what}");
            }
        }
    }
}

#[test]
fn what_was_accepted_is_queued_for_the_runner_of_the_last_turn() {
    for thread in THREADS {
        for closing in BOTH {
            let mut accepting = machine(Running, thread, closing);
            let before = accepting.clone();
            assert_eq!(accepting.accept(held(Idle), Job('a')), QUEUED);
            assert_eq!(accepting, Machine { phase: Queued, job: Job('a'), ..before });
        }
    }
}

#[test]
fn what_was_refused_leaves_the_phase_that_it_was_claimed_in() {
    for (phase, operation) in [(Idle, Call), (Parked, Resume), (Idle, Restore), (Parked, Restore)] {
        let mut refused = machine(phase, Runners, false);
        let before = refused.clone();
        let held = refused.claim(operation, Runners).unwrap();
        assert_eq!(held.origin(), phase);
        assert_eq!(refused.leave(held, phase, false), Todo::Nothing);
        assert_eq!(refused, before);
    }
}

/// When somebody has to end a sandbox that nobody runs: the phase, whose thread, closing, a stop pending.
fn is_due(phase: Phase, thread: Thread, closing: bool, is_stopping: bool) -> bool {
    match (phase, thread, closing, is_stopping) {
        // The owner would wait for ever.
        (Parked, Runners, true, _) | (Parked, Runners, false, true) => true,
        // The owner comes back by itself, and then finds the stop. Not so when it wants to close.
        (Parked, Owners, true, _) => true,
        (Parked, Owners, false, _) => false,
        // A stop between two calls holds for the next one.
        (Idle, _, true, _) => true,
        (Idle, _, false, _) => false,
        // Whoever runs it, or will, looks by itself.
        (Queued | Running, _, _, _) => false,
        (Closed, _, _, _) => false,
        (Parked, Runners, false, false) => false,
    }
}

#[test]
fn who_wakes_a_sandbox_queues_it_where_something_has_to_end() {
    for before in states() {
        for is_stopping in BOTH {
            let mut woken = before.clone();
            let todo = woken.wake(is_stopping);
            let what = format!("{before:?}, stopping: {is_stopping}");
            if is_due(before.phase, before.thread, before.closing, is_stopping) {
                assert_eq!(todo, QUEUED, "{what}");
                assert_eq!(woken, Machine { phase: Queued, ..before.clone() }, "{what}");
            } else {
                assert_eq!(todo, Todo::Nothing, "{what}");
                assert_eq!(woken, before, "{what}");
            }
            // To wake it twice is to wake it once.
            let once = woken.clone();
            assert_eq!(woken.wake(is_stopping), Todo::Nothing, "{what}");
            assert_eq!(woken, once, "{what}");
        }
    }
}

#[test]
fn who_leaves_does_what_was_asked_for_meanwhile() {
    for to in [Idle, Parked] {
        for (thread, closing) in THREADS.into_iter().flat_map(|a| BOTH.map(|b| (a, b))) {
            for is_stopping in BOTH {
                let mut leaving = machine(Running, thread, closing);
                let before = leaving.clone();
                let todo = leaving.leave(held(Idle), to, is_stopping);
                let due = is_due(to, thread, closing, is_stopping);
                assert_eq!(todo, if due { QUEUED } else { Todo::Nothing });
                let phase = if due { Queued } else { to };
                assert_eq!(leaving, Machine { phase, ..before }, "to {to:?}");
            }
        }
    }
}

#[test]
fn a_turn_does_its_job_once_and_is_the_end_of_what_is_to_be_closed() {
    for thread in THREADS {
        for (closing, expected) in [(false, Duty::Work(Job('j'))), (true, Duty::Close)] {
            let mut turning = machine(Queued, thread, closing);
            let before = turning.clone();
            let (held, duty) = turning.begin_turn(2);
            assert_eq!(duty, expected);
            assert_eq!(held.origin(), Queued);
            let running =
                Machine { phase: Running, affinity: Some(2), job: Job::default(), ..before };
            assert_eq!(turning, running);
        }
    }
}

#[test]
fn who_is_preempted_goes_on_with_nothing_else_and_on_the_same_runner() {
    for closing in BOTH {
        let mut preempted = machine(Queued, Runners, closing);
        let (held, _) = preempted.begin_turn(5);
        let before = preempted.clone();
        assert_eq!(preempted.preempt(held), Todo::Enqueue { affinity: Some(5) });
        assert_eq!(preempted, Machine { phase: Queued, ..before });
        let (_, duty) = preempted.begin_turn(5);
        assert_eq!(duty, if closing { Duty::Close } else { Duty::Work(Job::default()) });
    }
}

#[test]
fn a_report_is_there_with_its_phase_and_is_taken_once() {
    for to in [Idle, Parked, Closed] {
        for (thread, closing) in THREADS.into_iter().flat_map(|a| BOTH.map(|b| (a, b))) {
            let mut reporting = machine(Running, thread, closing);
            let before = reporting.clone();
            reporting.report(held(Queued), 'n', to);
            assert_eq!(reporting, Machine { phase: to, report: Some('n'), ..before });
            assert_eq!(reporting.take_report(), Some('n'));
            assert_eq!(reporting.take_report(), None);
        }
    }
}

#[test]
fn taking_a_report_changes_nothing_else_in_any_state() {
    for before in states() {
        let mut taken = before.clone();
        assert_eq!(taken.take_report(), Some('r'));
        assert_eq!(taken, Machine { report: None, ..before });
    }
}

#[test]
fn closing_is_news_once_in_any_state() {
    for before in states() {
        let mut closed = before.clone();
        assert_eq!(closed.close(), !before.closing);
        assert_eq!(closed, Machine { closing: true, ..before });
        let once = closed.clone();
        assert!(!closed.close());
        assert_eq!(closed, once);
    }
}
