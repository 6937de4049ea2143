//! Every way from one state of the tasks to the next.

use super::{Next, Scheduler};
use crate::answer::WaitFor;
use crate::task::Task;
use crate::task::blocked::{BlockedOn, Event};
use crate::task::progress::Progress;
use crate::task::registers::{Registers, SystemCall};
use crate::task::signals::SignalState;

const NOW: u64 = 1_000;
const FUTEX: BlockedOn = BlockedOn::event(Event::Futex { word: 64 });
const INPUT: BlockedOn = BlockedOn::Input { wanted: 7 };

const EVENTS: [Event; 6] = [
    Event::PipeData { pipe: 3 },
    Event::PipeRoom { pipe: 3 },
    Event::Descriptors,
    Event::Futex { word: 64 },
    Event::Signal,
    Event::ProcessorTime,
];

fn task(id: u32) -> Task {
    let mut task = Task::first([0; 16], Registers { fs_base: 0 }, SignalState::new());
    task.id = id;
    task
}

/// Tasks with the numbers 0, 1 ..., which wait for this; the first one runs.
fn waiting<const N: usize>(on: [Option<BlockedOn>; N]) -> Scheduler {
    let waits = |(id, on)| {
        let mut task = task(id);
        task.blocked_on = on;
        task
    };
    let mut tasks = (0..).zip(on).map(waits);
    Scheduler { running: tasks.next().unwrap(), others: tasks.collect() }
}

impl Scheduler {
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        std::iter::once(&self.running).chain(&self.others)
    }
}

const fn time(nanoseconds: u64) -> Next {
    Next::Wait(WaitFor::Time { nanoseconds })
}

const fn until(until: u64) -> BlockedOn {
    BlockedOn::Time { until }
}

const fn event_until(until: u64) -> BlockedOn {
    BlockedOn::Event { event: Event::Descriptors, until: Some(until) }
}

#[test]
fn the_first_task_runs() {
    let mut scheduler = Scheduler::new(task(2));
    assert_eq!(scheduler.running().id, 2);
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert_eq!(scheduler.next(NOW, Some(5)), Next::Run, "a timer stops nobody");
}

#[test]
fn a_task_goes_from_running_to_answering_to_blocked_and_back() {
    let mut scheduler = Scheduler::new(task(2));
    let call = SystemCall { number: 202, arguments: [0; 6] };
    scheduler.running_mut().keep(Progress::Done(3));
    scheduler.block(INPUT);
    scheduler.running_mut().park(&call);
    assert_eq!(scheduler.running().call(), Some(call));
    assert_eq!(scheduler.running().blocked_on, Some(INPUT));
    scheduler.wake(|on| on == INPUT);
    assert_eq!(scheduler.running().blocked_on, None);
    assert_eq!(scheduler.running().call(), Some(call), "its call is made again");
    assert!(matches!(scheduler.running().progress(), Progress::Done(3)));
    scheduler.running_mut().finish();
    assert_eq!(scheduler.running().call(), None);
    assert!(matches!(scheduler.running().progress(), Progress::Nothing));
}

#[test]
fn another_call_knows_nothing_of_the_one_before() {
    let mut scheduler = Scheduler::new(task(2));
    scheduler.running_mut().keep(Progress::Done(3));
    scheduler.block(INPUT);
    scheduler.running_mut().park(&SystemCall { number: 0, arguments: [0; 6] });
    scheduler.running_mut().finish();
    assert_eq!(scheduler.running().call(), None);
    assert!(matches!(scheduler.running().progress(), Progress::Nothing));
    assert_eq!(scheduler.next(NOW, None), Next::Run);
}

#[test]
fn what_the_host_brings_is_asked_for() {
    let mut scheduler = waiting([Some(INPUT)]);
    assert_eq!(scheduler.next(NOW, None), Next::Wait(WaitFor::Input { wanted: 7 }));
    assert_eq!(scheduler.next(NOW, Some(5)), Next::Wait(WaitFor::Input { wanted: 7 }));
    let mut scheduler = waiting([Some(BlockedOn::OutputRoom)]);
    assert_eq!(scheduler.next(NOW, None), Next::Wait(WaitFor::OutputRoom));
    assert_eq!(scheduler.next(NOW, Some(5)), Next::Wait(WaitFor::OutputRoom));
}

#[test]
fn the_host_wakes_those_who_wait_for_what_it_brought() {
    let mut scheduler = waiting([Some(BlockedOn::OutputRoom), Some(INPUT), Some(FUTEX)]);
    scheduler.wake(|on| matches!(on, BlockedOn::Input { .. }));
    let blocked = scheduler.tasks().map(|task| task.blocked_on);
    assert!(blocked.eq([Some(BlockedOn::OutputRoom), None, Some(FUTEX)]));
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert_eq!(scheduler.running().id, 1);
}

#[test]
fn a_moment_is_waited_for_and_then_over() {
    for on in [until(NOW + 30), event_until(NOW + 30)] {
        let mut scheduler = waiting([Some(on)]);
        assert_eq!(scheduler.next(NOW, None), time(30));
        assert_eq!(scheduler.next(NOW + 29, None), time(1), "too early: the rest of it");
        assert_eq!(scheduler.running().blocked_on, Some(on));
        assert_eq!(scheduler.next(NOW + 30, None), Next::Run);
        assert_eq!(scheduler.running().blocked_on, None);
    }
    let mut late = waiting([Some(until(NOW - 1))]);
    assert_eq!(late.next(NOW, None), Next::Run);
    let mut never = waiting([Some(until(u64::MAX))]);
    assert_eq!(never.next(NOW, None), time(u64::MAX - NOW));
}

#[test]
fn the_real_timer_is_waited_for_where_it_comes_first() {
    let mut scheduler = waiting([Some(until(NOW + 30))]);
    assert_eq!(scheduler.next(NOW, Some(20)), time(20));
    assert_eq!(scheduler.next(NOW, Some(40)), time(30));
    for event in EVENTS {
        let mut scheduler = waiting([Some(BlockedOn::event(event))]);
        assert_eq!(scheduler.next(NOW, Some(20)), time(20), "{event:?}");
        assert_eq!(scheduler.running().blocked_on, Some(BlockedOn::event(event)));
    }
}

#[test]
fn nobody_left_to_bring_it_about_is_a_deadlock() {
    for event in EVENTS {
        let mut scheduler = waiting([Some(BlockedOn::event(event))]);
        let waiting_for = event.in_vain();
        assert_eq!(scheduler.next(NOW, None), Next::Deadlock { waiting_for });
    }
    let words: std::collections::BTreeSet<_> = EVENTS.map(Event::in_vain).into();
    assert_eq!(words.len(), EVENTS.len(), "each says what it is");
}

#[test]
fn of_several_tasks_the_next_one_that_can_runs() {
    let mut scheduler = waiting([Some(FUTEX), None, None]);
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert_eq!(scheduler.running().id, 1);
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert_eq!(scheduler.running().id, 1, "it goes on while it can");
    scheduler.block(INPUT);
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert_eq!(scheduler.running().id, 2);
    scheduler.block(until(NOW + 9));
    assert_eq!(scheduler.next(NOW + 9, None), Next::Run);
    assert_eq!(scheduler.running().id, 2, "its moment has come");
    scheduler.wake(|on| on == FUTEX);
    scheduler.block(FUTEX);
    assert_eq!(scheduler.next(NOW + 9, None), Next::Run);
    assert_eq!(scheduler.running().id, 0, "behind the last one comes the first");
}

#[test]
fn the_order_of_tasks_stays_round_and_round() {
    let mut scheduler = waiting([Some(FUTEX), Some(FUTEX), None, Some(INPUT)]);
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert!(scheduler.tasks().map(|task| task.id).eq([2, 3, 0, 1]), "passed over, not moved");
    scheduler.block(FUTEX);
    scheduler.wake(|on| on == INPUT);
    assert_eq!(scheduler.next(NOW, None), Next::Run);
    assert!(scheduler.tasks().map(|task| task.id).eq([3, 0, 1, 2]));
}

#[test]
fn of_several_waits_the_host_is_asked_first_and_then_the_first_moment_counts() {
    let mut scheduler = waiting([Some(FUTEX), Some(until(NOW + 9)), Some(INPUT)]);
    assert_eq!(scheduler.next(NOW, Some(1)), Next::Wait(WaitFor::Input { wanted: 7 }));
    let mut scheduler = waiting([Some(FUTEX), Some(until(NOW + 9)), Some(event_until(NOW + 4))]);
    assert_eq!(scheduler.next(NOW, None), time(4));
    assert_eq!(scheduler.next(NOW, Some(3)), time(3));
    let mut scheduler = waiting([Some(FUTEX), Some(BlockedOn::event(Event::Signal))]);
    let waiting_for = Event::Futex { word: 64 }.in_vain();
    assert_eq!(scheduler.next(NOW, None), Next::Deadlock { waiting_for });
}

#[test]
fn going_back_brings_the_tasks_and_who_runs() {
    let from = waiting([Some(FUTEX), Some(INPUT)]);
    let mut scheduler = Scheduler::new(task(9));
    scheduler.restore(&from);
    let blocked = scheduler.tasks().map(|task| (task.id, task.blocked_on));
    assert!(blocked.eq([(0, Some(FUTEX)), (1, Some(INPUT))]));
    assert_eq!(scheduler.running().id, 0);
}
