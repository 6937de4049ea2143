use super::{Calibration, ClockPair, TimeError, Timeline};
use proptest::prelude::*;

const GIGAHERTZ: u64 = 1_000_000_000;

fn pair(tsc: u64, monotonic: u64) -> ClockPair {
    ClockPair { tsc, monotonic, window: 60 }
}

/// A call that began at counter 1000, monotonic 500, Unix time 10,500.
fn call(frequency: Option<u64>) -> Timeline {
    Timeline::new(Some(pair(1000, 500)), frequency, Some(10_000))
}

#[test]
fn without_a_frequency_only_what_lies_between_two_readings_is_converted() {
    let mut timeline = call(None);
    let error = timeline.wall(1000).unwrap_err();
    assert_eq!(error.to_string(), "TSC frequency not set");
    timeline.reach(pair(3000, 1500));
    assert_eq!(timeline.wall(2000), Ok((11_000, 0)));
}

#[test]
fn without_a_wall_clock_nothing_is_converted() {
    let mut timeline = Timeline::new(Some(pair(0, 0)), Some(GIGAHERTZ), None);
    timeline.reach(pair(10, 10));
    assert_eq!(timeline.wall(5).unwrap_err().to_string(), "start_wall not set");
    assert_eq!(Timeline::default().wall(5), Err(TimeError::Start));
}

#[test]
fn one_reading_and_a_frequency_are_enough() {
    let timeline = call(Some(2 * GIGAHERTZ));
    assert_eq!(timeline.wall(1000 + 400), Ok((10_500 + 200, 0)));
}

#[test]
fn an_interval_is_measured_and_the_frequency_does_not_matter() {
    // The clock runs 10 % faster than the frequency says; an hour later it would be minutes off.
    let mut timeline = call(Some(GIGAHERTZ));
    let hour = 3_600 * GIGAHERTZ;
    timeline.reach(pair(1000 + hour, 500 + hour / 10 * 11));
    assert_eq!(timeline.wall(1000 + hour / 2), Ok((10_500 + hour / 20 * 11, 0)));
    // From there on to the next reading.
    timeline.reach(pair(1000 + hour + 100, 500 + hour / 10 * 11 + 50));
    assert_eq!(timeline.wall(1000 + hour + 50), Ok((10_500 + hour / 10 * 11 + 25, 0)));
}

#[test]
fn what_lies_outside_is_moved_to_the_edge() {
    let mut timeline = call(Some(GIGAHERTZ));
    timeline.reach(pair(3000, 2500));
    assert_eq!(timeline.wall(400), Ok((10_500, 600)));
    assert_eq!(timeline.wall(3500), Ok((12_500, 500)));
    assert_eq!(timeline.wall(0), Ok((10_500, 1000)));
    assert_eq!(timeline.wall(u64::MAX).unwrap().0, 12_500);
}

#[test]
fn what_is_older_than_the_reading_before_keeps_its_time() {
    let mut timeline = call(Some(GIGAHERTZ));
    timeline.reach(pair(3000, 2500));
    timeline.reach(pair(4000, 3500));
    assert_eq!(timeline.wall(2990), Ok((12_490, 0)));
    assert_eq!(timeline.wall(900), Ok((10_500, 100)));
}

#[test]
fn what_is_older_than_the_reading_before_follows_its_predecessor() {
    // Readings that something came between are off, so that the clock seems to run at another rate in the
    // next interval. Whoever stands in the wrong batch must not overtake those before it.
    let mut timeline = call(Some(GIGAHERTZ));
    timeline.reach(pair(101_000, 100_500));
    let predecessor = timeline.wall(60_900).unwrap().0;
    timeline.reach(pair(201_000, 201_500));
    let late = timeline.wall(61_000).unwrap();
    assert_eq!(late, (predecessor + 100, 0));
}

#[test]
fn a_counter_that_starts_elsewhere_is_aligned_with_the_start() {
    let mut timeline = call(Some(GIGAHERTZ));
    timeline.reach(pair(100_000, 99_500));
    assert!(timeline.check(50_000), "within the call");
    assert!(timeline.check(1000) && timeline.check(100_000), "at its edges");
    // As after a restore that took the counter back: far from the host's.
    let rewound = 10_000_000;
    assert!(!timeline.check(rewound));
    assert_eq!(timeline.wall(rewound), Ok((10_500, 0)));
    assert_eq!(timeline.wall(rewound + 1000), Ok((11_500, 0)));
}

#[test]
fn a_frequency_is_measured_over_a_window_that_grows() {
    let mut calibration = Calibration::default();
    assert_eq!(calibration.frequency(), None);
    calibration.add(pair(1_000, 0));
    calibration.add(pair(2_300_000, 1_000_000));
    assert_eq!(calibration.frequency(), None, "a millisecond is too short");
    calibration.add(pair(1_000 + 23_000_000, 10_000_000));
    assert_eq!(calibration.frequency(), Some(2_300_000_000));
    calibration.add(pair(1_000 + 2_400_000_000, 1_000_000_000));
    assert_eq!(calibration.frequency(), Some(2_400_000_000));
    calibration.add(pair(0, 2_000_000_000));
    assert_eq!(calibration.frequency(), None, "a counter that went back");
}

#[test]
fn the_tightest_of_three_readings_counts() {
    // Pairs of counter values around each reading of the clock.
    let mut counter = [0, 9_000, 10_000, 11_100, 12_000, 19_000].into_iter();
    let mut clock = [1, 2, 3].into_iter();
    let pair = ClockPair::read(|| counter.next().unwrap(), || clock.next().unwrap());
    assert_eq!(pair, ClockPair { tsc: 10_550, monotonic: 2, window: 1100 });
}

#[test]
fn one_tight_reading_is_enough() {
    let mut counter = [100, 160].into_iter();
    let pair = ClockPair::read(|| counter.next().unwrap(), || 7);
    assert_eq!(pair, ClockPair { tsc: 130, monotonic: 7, window: 60 });
}

proptest! {
    #[test]
    fn no_conversion_panics_or_leaves_the_call(
        start in any::<(u64, u64)>(),
        length in any::<(u64, u64)>(),
        frequency in any::<Option<u64>>(),
        offset in -(1_i128 << 70)..(1_i128 << 70),
        checked in any::<Option<u64>>(),
        tsc in any::<u64>(),
    ) {
        let mut timeline = Timeline::new(Some(pair(start.0, start.1)), frequency, Some(offset));
        let end = pair(start.0.saturating_add(length.0), start.1.saturating_add(length.1));
        timeline.reach(end);
        if let Some(tsc) = checked {
            timeline.check(tsc);
        }
        if let Ok((wall, _)) = timeline.wall(tsc) {
            let bounds = (timeline.wall_of(start.1).unwrap(), timeline.wall_of(end.monotonic).unwrap());
            prop_assert!(bounds.0 <= wall);
            prop_assert!(wall <= bounds.1 || end.tsc == start.0);
        }
    }

    #[test]
    fn time_does_not_go_back_within_an_interval(
        interval in (1_u64..1 << 50, 1_u64..1 << 50),
        ticks in (0_u64..1 << 50, 0_u64..1 << 50),
    ) {
        let mut timeline = call(None);
        timeline.reach(pair(1000 + interval.0, 500 + interval.1));
        let wall = |ticks: u64| timeline.wall(1000 + ticks).unwrap().0;
        let (early, late) = (ticks.0.min(ticks.1), ticks.0.max(ticks.1));
        prop_assert!(wall(early) <= wall(late));
    }
}
