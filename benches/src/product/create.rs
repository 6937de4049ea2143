//! Making a sandbox of a cached image and calling it once, with so many alive.

use crate::compare::{Series, Turn, in_turns};
use crate::effort::Effort;
use crate::guest::{Call, Guest, config, run};
use crate::report::{Measurement, Report};
use ampoule_floors::Create;
use ampoule_floors::microseconds;
use ampoule_host::providers;
use ampoule_sandbox::{Sandbox, Snapshot};
use anyhow::Result;
use std::cell::RefCell;
use std::time::Instant;

/// Guest memory, in MiB.
const MEMORY_MIB: u64 = 64;
/// How much longer than a call a creation takes, about.
const COST: usize = 10;

/// Measures the creation of raw VMs and of sandboxes while others live.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    let floor = Create::new()?;
    let mut guest = Guest::start(&config(MEMORY_MIB)?)?;
    let add = guest.prepare("add", &(20, 22))?;
    guest.run(&add)?;
    let snapshot = guest.sandbox.snapshot()?;
    // Going back is when a snapshot learns what calls touch.
    guest.run(&add)?;
    guest.sandbox.restore(Some(&snapshot))?;
    // What is made while measuring is one of them.
    let mut alive = vec![guest.sandbox];
    for &count in effort.live {
        while alive.len() < count {
            let mut sandbox =
                Sandbox::from_snapshot(&snapshot, providers().control(), providers())?;
            run(&mut sandbox, &add)?;
            alive.push(sandbox);
        }
        at(count, effort, &floor, &snapshot, &add, report)?;
    }
    Ok(())
}

/// Durations of the parts of one sandbox's life.
struct Life {
    made: f64,
    called: f64,
    dropped: f64,
}

fn live_once(snapshot: &Snapshot, call: &Call) -> Result<Life> {
    let start = Instant::now();
    let mut sandbox = Sandbox::from_snapshot(snapshot, providers().control(), providers())?;
    let made = start.elapsed();
    run(&mut sandbox, call)?;
    let called = start.elapsed();
    let start = Instant::now();
    drop(sandbox);
    Ok(Life {
        made: microseconds(made),
        called: microseconds(called),
        dropped: microseconds(start.elapsed()),
    })
}

fn at(
    count: usize,
    effort: &Effort,
    floor: &Create,
    snapshot: &Snapshot,
    call: &Call,
    report: &mut Report,
) -> Result<()> {
    let samples = effort.samples_at(if count >= 1000 { COST * 2 } else { COST });
    // One turn yields several series, of which the first is its result.
    let ends: RefCell<Vec<Vec<f64>>> = RefCell::default();
    let parts: RefCell<Vec<(Vec<f64>, Vec<f64>)>> = RefCell::default();
    let mut turns: [Turn<'_>; 2] = [
        Box::new(|| {
            let lives = (0..samples).map(|_| floor.once()).collect::<Result<Vec<_>>>()?;
            ends.borrow_mut().push(lives.iter().map(|life| life.destroyed).collect());
            Ok(lives.iter().map(|life| life.created).collect())
        }),
        Box::new(|| {
            let lives =
                (0..samples).map(|_| live_once(snapshot, call)).collect::<Result<Vec<_>>>()?;
            parts.borrow_mut().push((
                lives.iter().map(|life| life.made).collect(),
                lives.iter().map(|life| life.dropped).collect(),
            ));
            Ok(lives.into_iter().map(|life| life.called).collect())
        }),
    ];
    let series = in_turns(effort.rounds, &mut turns)?;
    drop(turns);
    let (made, dropped): (Vec<_>, Vec<_>) = parts.into_inner().into_iter().unzip();
    let (ends, made, dropped): (Series, Series, Series) =
        (ends.into_inner().into(), made.into(), dropped.into());
    let add = |report: &mut Report, measurement: Measurement| {
        report.add(measurement.at("live", count as f64));
    };
    let new = |name, series| Measurement::new("create", name, series);
    add(report, new("create", &series[0]));
    add(report, new("destroy", &ends));
    add(report, new("from_snapshot", &made).beside("create", &made, &series[0], None));
    let pages = snapshot.working_set_pages() as f64;
    let first_call = new("from_snapshot and first call", &series[1]).counted("working set", pages);
    let mut first_call = first_call.beside("create", &series[1], &series[0], None);
    first_call.goal = first_call.floor_p50.map(|create| 1.15 * create + 7.0 * pages);
    add(report, first_call);
    add(report, new("drop", &dropped).beside("destroy", &dropped, &ends, None));
    Ok(())
}
