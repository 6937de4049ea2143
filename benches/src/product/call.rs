//! Calls: one exit each, and little else.

use crate::compare::{Turn, in_turns};
use crate::effort::Effort;
use crate::guest::{Call, Guest, config};
use crate::report::{Measurement, Report};
use ampoule_floors::sample;
use ampoule_floors::{Exit, Ping};
use ampoule_sandbox::{Budget, Resumption, Sandbox, Step};
use anyhow::{Result, ensure};
use std::cell::RefCell;

/// Guest memory, in MiB; it makes no difference to calls.
const MEMORY_MIB: u64 = 64;
/// Exits: the goal for a call, beside its floor.
fn goal(exit: f64) -> f64 {
    1.15 * exit + 1.0
}

/// Measures `exit`, a call of `add`, and the round trip of a host function inside a call.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    let mut exit = Exit::new()?;
    let mut guest = Guest::start(&config(MEMORY_MIB)?)?;
    let add = guest.prepare("add", &(20, 22))?;
    guest.run(&add)?;
    let before = guest.sandbox.statistics();
    let samples = effort.samples * 5;
    let guest = RefCell::new(guest);
    let mut turns: [Turn<'_>; 3] = [
        Box::new(|| exit.turn(samples)),
        Box::new(|| sample(samples, &mut *guest.borrow_mut(), |_| Ok(()), |guest| guest.run(&add))),
        Box::new(|| {
            let guest = &mut *guest.borrow_mut();
            let ticks = guest.prepare("ticks", &(samples + 2,))?;
            host_calls(&mut guest.sandbox, &ticks, samples)
        }),
    ];
    let series = in_turns(effort.rounds, &mut turns)?;
    drop(turns);
    let after = guest.borrow().sandbox.statistics();
    let host_calls = after.host_calls - before.host_calls;
    let exits_per_call =
        (after.exits - before.exits - host_calls) as f64 / (after.calls - before.calls) as f64;
    report.add(Measurement::new("call", "exit", &series[0]));
    report.add(
        Measurement::new("call", "call of add", &series[1])
            .beside("exit", &series[1], &series[0], Some(goal))
            .counted("exits", exits_per_call),
    );
    report.add(Measurement::new("call", "host function", &series[2]).beside(
        "exit",
        &series[2],
        &series[0],
        Some(goal),
    ));
    Ok(())
}

/// Measures `ping`, where two processors can spin: what a call could cost without an exit.
pub(crate) fn ping(effort: &Effort, report: &mut Report) -> Result<()> {
    if std::thread::available_parallelism().map_or(1, usize::from) < 2 {
        report.note("ping was left out: it needs two CPUs".to_owned());
        return Ok(());
    }
    let mut ping = Ping::new()?;
    let series = in_turns(effort.rounds, &mut [Box::new(|| ping.turn(effort.samples))])?;
    report.add(Measurement::new("ping", "ping", &series[0]));
    Ok(())
}

/// Times from one host call of the guest to the next.
fn host_calls(sandbox: &mut Sandbox, ticks: &Call, samples: usize) -> Result<Vec<f64>> {
    sandbox.begin_call(ticks.function, &ticks.arguments, Budget::default())?;
    ensure!(matches!(sandbox.run(), Step::HostCall { .. }), "no host call");
    let times = sample(
        samples,
        sandbox,
        |_| Ok(()),
        |sandbox| {
            // The answer: the number 0 as CBOR.
            sandbox.resume(Resumption::HostReturn(&[0]))?;
            ensure!(matches!(sandbox.run(), Step::HostCall { .. }), "no further host call");
            Ok(())
        },
    )?;
    sandbox.resume(Resumption::HostReturn(&[0]))?;
    ensure!(sandbox.run() == Step::Return, "the call did not return");
    Ok(times)
}
