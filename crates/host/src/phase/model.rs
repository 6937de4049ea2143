//! A sandbox with everybody who has to do with it, in every order: an owner, a runner, and whoever stops it.
//!
//! All states that can come about are gone through, so that what holds in each of them holds for whatever happens.

use super::{Duty, Held, Operation, Phase, PhaseMachine, Thread, Todo};
use std::collections::{HashMap, HashSet, VecDeque};

const OPERATIONS: [Operation; 5] =
    [Operation::Start, Operation::Call, Operation::Resume, Operation::Snapshot, Operation::Restore];

/// A sandbox and what everybody is at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    machine: PhaseMachine<Job, Report>,
    /// How often it stands in the executor's queues.
    queued: u8,
    /// Between an owner's claim and its end: the phase that it began in, and whose thread goes on.
    owner: Option<(Phase, Thread)>,
    /// In a turn.
    runner: Option<Duty<Job>>,
    /// The runner has told the owner of its report and will wake the sandbox.
    runner_wakes: bool,
    /// A stop was asked for that the guest has not seen.
    stopping: bool,
    /// Whoever asked for the stop, or closed, will wake the sandbox.
    stopper_wakes: bool,
    /// A report was made that the owner has not taken.
    is_told: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Job;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Report;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Claim(Operation, Thread),
    Accept,
    Refuse,
    /// The owner's own turn ends in this phase. A guest that was to stop has seen it.
    Leave(Phase, bool),
    BeginTurn,
    Preempt,
    /// A runner's turn ends in this phase. A guest that was to stop has seen it.
    Report(Phase, bool),
    RunnerWakes,
    TakeReport,
    Stop,
    StopperWakes,
    Close,
}

fn events() -> Vec<Event> {
    let mut events = vec![
        Event::Accept,
        Event::Refuse,
        Event::BeginTurn,
        Event::Preempt,
        Event::RunnerWakes,
        Event::TakeReport,
        Event::Stop,
        Event::StopperWakes,
        Event::Close,
    ];
    for thread in [Thread::Owners, Thread::Runners] {
        events.extend(OPERATIONS.map(|operation| Event::Claim(operation, thread)));
    }
    for to in [Phase::Idle, Phase::Parked] {
        for saw_stop in [false, true] {
            events.extend([Event::Leave(to, saw_stop), Event::Report(to, saw_stop)]);
        }
    }
    events
}

impl World {
    fn new() -> Self {
        Self {
            machine: PhaseMachine::new(),
            queued: 0,
            owner: None,
            runner: None,
            runner_wakes: false,
            stopping: false,
            stopper_wakes: false,
            is_told: false,
        }
    }

    fn follow(&mut self, todo: Todo) {
        if let Todo::Enqueue { .. } = todo {
            self.queued += 1;
        }
    }

    /// The world after `event`, if it can happen now.
    fn after(&self, event: Event) -> Option<Self> {
        let mut next = self.clone();
        match event {
            // One owner does one thing at a time.
            Event::Claim(..) if self.owner.is_some() => return None,
            Event::Claim(operation, thread) => {
                let held = next.machine.claim(operation, thread).ok()?;
                next.owner = Some((held.origin(), thread));
            }
            Event::Accept => {
                let (from, Thread::Runners) = next.owner.take()? else { return None };
                let todo = next.machine.accept(Held { from }, Job);
                next.follow(todo);
            }
            Event::Refuse => {
                let (from, _) = next.owner.take()?;
                let todo = next.machine.leave(Held { from }, from, next.stopping);
                next.follow(todo);
            }
            Event::Leave(to, saw_stop) => {
                let (from, Thread::Owners) = next.owner.take()? else { return None };
                next.see_stop(saw_stop, to)?;
                let todo = next.machine.leave(Held { from }, to, next.stopping);
                next.follow(todo);
            }
            // One runner at a time takes the sandbox; another one may while the first is still to wake it.
            Event::BeginTurn => {
                if self.runner.is_some() {
                    return None;
                }
                next.queued = next.queued.checked_sub(1)?;
                let (_, duty) = next.machine.begin_turn(0);
                next.runner = Some(duty);
            }
            Event::Preempt => {
                let Duty::Work(Job) = next.runner.take()? else { return None };
                let todo = next.machine.preempt(Held { from: Phase::Queued });
                next.follow(todo);
            }
            Event::Report(to, saw_stop) => {
                let (to, held) = match next.runner.take()? {
                    Duty::Work(Job) => (to, Held { from: Phase::Queued }),
                    Duty::Close => (Phase::Closed, Held { from: Phase::Queued }),
                };
                next.see_stop(saw_stop, to)?;
                next.machine.report(held, Report, to);
                next.is_told = true;
                next.runner_wakes = true;
            }
            Event::RunnerWakes => {
                if !std::mem::take(&mut next.runner_wakes) {
                    return None;
                }
                let todo = next.machine.wake(next.stopping);
                next.follow(todo);
            }
            Event::TakeReport => {
                let taken = next.machine.take_report();
                assert_eq!(taken.is_some(), std::mem::take(&mut next.is_told), "{self:#?}");
                taken?;
            }
            Event::Stop => {
                next.stopping = true;
                next.stopper_wakes = true;
            }
            Event::StopperWakes => {
                if !std::mem::take(&mut next.stopper_wakes) {
                    return None;
                }
                let todo = next.machine.wake(next.stopping);
                next.follow(todo);
            }
            Event::Close => {
                if !next.machine.close() {
                    return None;
                }
                next.stopping = true;
                next.stopper_wakes = true;
            }
        }
        Some(next)
    }

    /// A guest that sees a stop ends with it: it does not park.
    fn see_stop(&mut self, saw_stop: bool, to: Phase) -> Option<()> {
        if saw_stop {
            if !self.stopping || to == Phase::Parked {
                return None;
            }
            self.stopping = false;
        }
        Some(())
    }

    /// What holds at every moment.
    fn check(&self) {
        let phase = self.machine.phase();
        let holders = u8::from(self.owner.is_some()) + u8::from(self.runner.is_some());
        assert_eq!(holders, u8::from(phase == Phase::Running), "one holds it: {self:#?}");
        assert_eq!(self.queued, u8::from(phase == Phase::Queued), "queued once: {self:#?}");
        if phase == Phase::Closed {
            let mut machine = self.machine.clone();
            for operation in OPERATIONS {
                assert!(machine.claim(operation, Thread::Owners).is_err(), "final: {self:#?}");
            }
        }
        // Nobody is about to do anything: then nothing is to be done.
        if holders == 0 && self.queued == 0 && !self.runner_wakes && !self.stopper_wakes {
            let forgotten = match phase {
                Phase::Parked if self.machine.thread == Thread::Runners => {
                    self.machine.closing || self.stopping
                }
                Phase::Idle | Phase::Parked => self.machine.closing,
                _ => false,
            };
            assert!(!forgotten, "a wake-up was lost: {self:#?}");
        }
    }
}

/// Every world that can come about, with those that can follow each.
fn worlds() -> HashMap<World, Vec<World>> {
    let events = events();
    let (mut known, mut new) = (HashMap::new(), VecDeque::from([World::new()]));
    while let Some(world) = new.pop_front() {
        if known.contains_key(&world) {
            continue;
        }
        let next: Vec<_> = events.iter().filter_map(|&event| world.after(event)).collect();
        new.extend(next.iter().filter(|next| !known.contains_key(*next)).cloned());
        known.insert(world, next);
    }
    known
}

#[test]
fn in_no_order_do_two_run_it_or_is_a_wake_up_lost() {
    let worlds = worlds();
    worlds.keys().for_each(World::check);
    // As many as there are: a change of the machine shows here, and is to be looked at.
    let phases: HashSet<_> = worlds.keys().map(|world| world.machine.phase()).collect();
    assert_eq!(phases.len(), 5);
    assert!(worlds.len() > 100, "{}", worlds.len());
}

#[test]
fn what_is_closed_stays_closed() {
    for (world, next) in worlds() {
        let is_closed = |world: &World| world.machine.phase() == Phase::Closed;
        assert!(!is_closed(&world) || next.iter().all(is_closed), "{world:#?}");
        // And it is closed for good before it is closed.
        let closing = |world: &World| world.machine.closing;
        assert!(!closing(&world) || next.iter().all(closing), "{world:#?}");
    }
}

#[test]
fn whatever_is_to_be_closed_is_closed_in_the_end() {
    let worlds = worlds();
    // Worlds from which every way on, of those that somebody has already begun, leads to closed.
    let mut ends: HashSet<&World> =
        worlds.keys().filter(|world| world.machine.phase() == Phase::Closed).collect();
    let begun = |world: &World| -> Vec<World> {
        let events = [
            Event::Refuse,
            Event::Leave(Phase::Idle, false),
            Event::Leave(Phase::Parked, false),
            Event::Accept,
            Event::BeginTurn,
            Event::Report(Phase::Idle, false),
            Event::Report(Phase::Parked, false),
            Event::RunnerWakes,
            Event::StopperWakes,
        ];
        events.iter().filter_map(|&event| world.after(event)).collect()
    };
    loop {
        let more: Vec<_> = worlds
            .keys()
            .filter(|world| world.machine.closing && !ends.contains(world))
            .filter(|world| {
                let next = begun(world);
                !next.is_empty() && next.iter().all(|next| ends.contains(next))
            })
            .collect();
        if more.is_empty() {
            break;
        }
        ends.extend(more);
    }
    let stuck = worlds.keys().find(|world| world.machine.closing && !ends.contains(world));
    assert!(stuck.is_none(), "{stuck:#?}");
}
