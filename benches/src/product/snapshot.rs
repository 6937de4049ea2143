//! Taking snapshots, making sandboxes of them at once, and going to another one in place.

use crate::compare::{Turn, in_turns};
use crate::effort::Effort;
use crate::guest::{Guest, config, run};
use crate::report::{Measurement, Report};
use ampoule_floors::Create;
use ampoule_floors::{microseconds, sample};
use ampoule_host::providers;
use ampoule_sandbox::Sandbox;
use anyhow::Result;
use std::time::Instant;

/// Guest memory, in MiB.
const MEMORY_MIB: u64 = 64;
/// How much longer than a call these take, about.
const COST: usize = 10;

/// Measures `snapshot`, `fork` (a snapshot and a sandbox of it) and a restore of another snapshot.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    let samples = effort.samples_at(COST);
    let floor = Create::new()?;
    let config = config(MEMORY_MIB)?;
    let mut original = Guest::start(&config)?;
    let add = original.prepare("add", &(20, 22))?;
    let mut forked = Guest::start(&config)?;
    let mut switched = Guest::start(&config)?;
    let first = switched.sandbox.snapshot()?;
    switched.run(&add)?;
    let second = switched.sandbox.snapshot()?;
    let mut turns: [Turn<'_>; 4] = [
        Box::new(|| (0..samples).map(|_| Ok(floor.once()?.created)).collect()),
        Box::new(|| {
            let call = |guest: &mut Guest| guest.run(&add);
            sample(samples, &mut original, call, |guest| {
                guest.sandbox.snapshot()?;
                Ok(())
            })
        }),
        Box::new(|| {
            let mut times = Vec::with_capacity(samples);
            for _ in 0..samples {
                forked.run(&add)?;
                let start = Instant::now();
                let snapshot = forked.sandbox.snapshot()?;
                let fork = Sandbox::from_snapshot(&snapshot, providers().control(), providers())?;
                times.push(microseconds(start.elapsed()));
                drop(fork);
            }
            Ok(times)
        }),
        Box::new(|| {
            let mut other = &first;
            sample(
                samples,
                &mut switched.sandbox,
                |sandbox| run(sandbox, &add),
                |sandbox| {
                    sandbox.restore(Some(other))?;
                    other = if std::ptr::eq(other, &raw const first) { &second } else { &first };
                    Ok(())
                },
            )
        }),
    ];
    let series = in_turns(effort.rounds, &mut turns)?;
    let new = |name, series| Measurement::new("snapshot", name, series);
    report.add(new("create", &series[0]));
    report.add(new("snapshot", &series[1]));
    let fork = new("fork", &series[2]);
    report.add(fork.beside("create", &series[2], &series[0], None));
    report.add(new("restore of another snapshot", &series[3]));
    Ok(())
}
