//! Who does what next: what waits for each runner, and what the runners are doing. Knows no thread and reads
//! no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a runner is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    /// It looks out for work, or waits for its bell.
    Free,
    /// It waits for its bell, or until it may take what waits for another one.
    Watching,
    /// It will look at the queues in a moment.
    Coming,
    Busy,
}

/// What waits for each runner, and what the runners are doing.
///
/// As long as something waits, some runner is busy or will look: whoever adds work or takes some, and
/// leaves more, rings for another one.
pub(super) struct Queues<T> {
    /// With the time since which each piece of work waits. The oldest comes first.
    runners: Vec<(Runner, VecDeque<(Instant, T)>)>,
    /// How long work waits for the runner that it has an affinity to before another one takes it.
    patience: Duration,
    /// Where the search for the least loaded runner begins, so that work is spread.
    turn: usize,
}

/// What a runner is to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken<T> {
    Work {
        work: T,
        /// Whose bell is to be rung.
        rung: Option<usize>,
    },
    /// Nothing, or not `until` then.
    Nothing { until: Option<Instant> },
}

impl<T> Queues<T> {
    pub(super) fn new(runners: usize, patience: Duration) -> Self {
        let free = || (Runner::Free, VecDeque::new());
        Self { runners: (0..runners).map(|_| free()).collect(), patience, turn: 0 }
    }

    /// Does with the first `runners`, one at least, before there is any work.
    pub(super) fn keep(&mut self, runners: usize) {
        self.runners.truncate(runners.max(1));
    }

    pub(super) fn set(&mut self, runner: usize, to: Runner) {
        if let Some((state, _)) = self.runners.get_mut(runner) {
            *state = to;
        }
    }

    /// Queues `work` for the runner that it has an affinity to, or for the least loaded one if there is none or
    /// that does not matter. Gives the runner whose bell is to be rung.
    pub(super) fn push(&mut self, work: T, affinity: Option<usize>, now: Instant) -> Option<usize> {
        let affinity = affinity.filter(|_| !self.patience.is_zero());
        let runner = affinity.unwrap_or_else(|| self.least_loaded());
        let (state, queue) = self.runners.get_mut(runner)?;
        let is_alone = queue.is_empty();
        queue.push_back((now, work));
        match state {
            Runner::Coming if is_alone => None,
            Runner::Free | Runner::Watching => {
                *state = Runner::Coming;
                Some(runner)
            }
            Runner::Coming | Runner::Busy => self.call_another(),
        }
    }

    /// A free runner that is to look after what waits, unless one is about to.
    fn call_another(&mut self) -> Option<usize> {
        let looks = |(state, queue): &(Runner, VecDeque<_>)| match state {
            Runner::Watching => true,
            Runner::Coming => queue.is_empty(),
            Runner::Free | Runner::Busy => false,
        };
        if self.runners.iter().any(looks) {
            return None;
        }
        let free = self.runners.iter().position(|(state, _)| *state == Runner::Free)?;
        self.set(free, Runner::Coming);
        Some(free)
    }

    /// The runner with the least to do.
    fn least_loaded(&mut self) -> usize {
        let count = self.runners.len();
        self.turn = (self.turn + 1) % count;
        let load = |(state, queue): &(Runner, VecDeque<_>)| match state {
            Runner::Free | Runner::Watching => queue.len(),
            Runner::Coming | Runner::Busy => queue.len() + 1,
        };
        let from_here = (self.turn..count).chain(0..self.turn);
        from_here.min_by_key(|&at| self.runners.get(at).map(load)).unwrap_or(0)
    }

    /// The first work that `runner` may take: when, and for whom it waits.
    fn next(&self, runner: usize) -> Option<(Instant, usize)> {
        let dues = self.runners.iter().enumerate().filter_map(|(at, (_, queue))| {
            let &(since, _) = queue.front()?;
            Some((if at == runner { since } else { since + self.patience }, at))
        });
        dues.min()
    }

    pub(super) fn has_work(&self, runner: usize, now: Instant) -> bool {
        self.next(runner).is_some_and(|(due, _)| due <= now)
    }

    /// What `runner` does now.
    pub(super) fn take(&mut self, runner: usize, now: Instant) -> Taken<T> {
        let next = self.next(runner);
        let due = next.filter(|&(due, _)| due <= now);
        let work = due.and_then(|(_, at)| self.runners.get_mut(at)?.1.pop_front());
        if let Some((_, work)) = work {
            self.set(runner, Runner::Busy);
            let is_more = self.runners.iter().any(|(_, queue)| !queue.is_empty());
            let rung = if is_more { self.call_another() } else { None };
            return Taken::Work { work, rung };
        }
        let until = next.map(|(due, _)| due);
        self.set(runner, if until.is_some() { Runner::Watching } else { Runner::Free });
        Taken::Nothing { until }
    }
}

#[cfg(test)]
mod tests {
    use super::{Queues, Runner, Taken};
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::time::{Duration, Instant};

    const PATIENCE: Duration = Duration::from_millis(15);

    /// Queues of two runners, and the time at which everything begins.
    fn queues(patience: Duration) -> (Queues<char>, Instant) {
        (Queues::new(2, patience), Instant::now())
    }

    fn work(work: char, rung: Option<usize>) -> Taken<char> {
        Taken::Work { work, rung }
    }

    #[test]
    fn work_goes_where_it_has_an_affinity_to() {
        let (mut queues, now) = queues(PATIENCE);
        for _ in 0..3 {
            assert_eq!(queues.push('a', Some(1), now), Some(1));
            assert_eq!(queues.take(1, now), work('a', None));
            queues.set(1, Runner::Coming);
            // Given again before the runner has come back: nobody else is called.
            assert_eq!(queues.push('a', Some(1), now), None);
            assert_eq!(queues.take(1, now), work('a', None));
            assert_eq!(queues.take(1, now), Taken::Nothing { until: None });
        }
    }

    #[test]
    fn new_work_is_spread() {
        let (mut queues, now) = queues(PATIENCE);
        let first = queues.push('a', None, now).unwrap();
        let second = queues.push('b', None, now).unwrap();
        assert_ne!(first, second);
        assert_eq!(queues.take(first, now), work('a', None));
        // The other one has not come yet and is as busy.
        queues.push('c', None, now);
        queues.push('d', None, now);
        let lengths: Vec<usize> = queues.runners.iter().map(|(_, queue)| queue.len()).collect();
        assert_eq!(lengths.iter().sum::<usize>(), 3);
        assert!(lengths.iter().all(|&length| length > 0), "{lengths:?}");
    }

    #[test]
    fn where_a_change_costs_nothing_the_oldest_is_taken_by_whoever_is_free() {
        let (mut queues, now) = queues(Duration::ZERO);
        for (after, work) in (0..).zip('a'..='d') {
            // Wherever they ran before: a busy runner is no reason to wait.
            queues.push(work, Some(0), now + Duration::from_micros(after));
        }
        assert!(queues.has_work(0, now) && queues.has_work(1, now));
        let later = now + PATIENCE;
        for (runner, expected) in [1, 0, 0, 1].into_iter().zip('a'..='d') {
            let Taken::Work { work, .. } = queues.take(runner, later) else { unreachable!() };
            assert_eq!(work, expected);
        }
        assert_eq!(queues.take(0, later), Taken::Nothing { until: None });
    }

    #[test]
    fn who_leaves_work_calls_another() {
        let (mut queues, now) = queues(Duration::ZERO);
        let first = queues.push('a', None, now).unwrap();
        let second = queues.push('b', None, now).unwrap();
        assert_ne!(first, second);
        // Both have been called: a third one finds nobody to call.
        assert_eq!(queues.push('c', None, now), None);
        queues.set(second, Runner::Free);
        let Taken::Work { rung, .. } = queues.take(first, now) else { unreachable!() };
        assert_eq!(rung, Some(second));
    }

    #[test]
    fn where_a_change_costs_something_work_waits_for_its_runner_as_long_as_that() {
        let (mut queues, now) = queues(PATIENCE);
        assert_eq!(queues.push('a', Some(0), now), Some(0));
        assert_eq!(queues.take(0, now), work('a', None));
        // The other one is called to keep watch, once.
        assert_eq!(queues.push('b', Some(0), now), Some(1));
        assert_eq!(queues.take(1, now), Taken::Nothing { until: Some(now + PATIENCE) });
        assert_eq!(queues.push('c', Some(0), now), None);
        assert!(queues.has_work(0, now) && !queues.has_work(1, now));
        assert_eq!(queues.take(1, now + PATIENCE), work('b', None));
        assert_eq!(queues.take(0, now + PATIENCE), work('c', None));
    }

    #[test]
    fn what_waits_for_others_for_long_comes_before_what_is_new_here() {
        let (mut queues, now) = queues(PATIENCE);
        queues.set(0, Runner::Busy);
        queues.push('a', Some(0), now);
        queues.push('b', Some(0), now + PATIENCE / 2);
        queues.push('c', Some(1), now + PATIENCE + PATIENCE / 4);
        let later = now + 2 * PATIENCE;
        assert_eq!(queues.take(1, later), work('a', None));
        assert_eq!(queues.take(1, later), work('c', None));
        assert_eq!(queues.take(1, later), work('b', None));
    }

    #[test]
    fn work_for_a_runner_that_could_not_be_made_waits_for_nobody() {
        let (mut queues, now) = queues(PATIENCE);
        queues.keep(1);
        for at in 0..2 {
            assert_eq!(queues.least_loaded(), 0, "{at}");
        }
        assert_eq!(queues.push('a', None, now), Some(0));
        assert_eq!(queues.take(0, now), work('a', None));
        // Without any it waits for ever, and is not lost.
        queues.keep(0);
        queues.push('b', None, now);
        assert_eq!(queues.take(0, now), work('b', None));
    }

    proptest! {
        /// Whatever the order in which work is given, runners come and work takes: nothing waits while
        /// everybody sleeps, and all is done in the end.
        #[test]
        fn nothing_is_left_behind(
            patience in prop_oneof![Just(Duration::ZERO), Just(PATIENCE)],
            events in prop::collection::vec((0_usize..3, 0_usize..4), 0..200),
        ) {
            let mut queues = Queues::<usize>::new(3, patience);
            let (mut now, mut given, mut done) = (Instant::now(), 0, HashSet::new());
            let drains = (0..3 * 400).map(|at| (at % 3, 3));
            for (runner, event) in events.into_iter().chain(drains) {
                now += PATIENCE / 4;
                let state = queues.runners[runner].0;
                match event {
                    0 | 1 => {
                        queues.push(given, (event == 0).then_some(runner), now);
                        given += 1;
                    }
                    // Somebody who sleeps and was not called is woken by nothing but the time.
                    2 | 3 if state == Runner::Free => {}
                    2 if state == Runner::Busy => queues.set(runner, Runner::Coming),
                    _ => if let Taken::Work { work, .. } = queues.take(runner, now) {
                        prop_assert!(done.insert(work));
                    }
                }
                let is_awake = |(state, _): &(Runner, _)| *state != Runner::Free;
                let waits = queues.runners.iter().any(|(_, queue)| !queue.is_empty());
                prop_assert!(!waits || queues.runners.iter().any(is_awake));
            }
            prop_assert_eq!(done.len(), given);
        }
    }
}
