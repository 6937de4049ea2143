//! Tracing: what it adds to a call, and that it adds nothing when nobody asks.

use crate::compare::{Turn, in_turns};
use crate::effort::Effort;
use crate::guest::{Call, Guest, config};
use crate::report::{Measurement, Report};
use ampoule_floors::sample;
use ampoule_sandbox::{Budget, CallTrace, Directives, Sandbox, Step, TraceContext, wall_offset};
use anyhow::{Result, ensure};
use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

/// Guest memory, in MiB; it makes no difference to calls.
const MEMORY_MIB: u64 = 64;

/// The goal for a function with a span that nobody asks for, beside one without.
fn off_goal(untraced: f64) -> f64 {
    1.01 * untraced
}

/// The goal for a traced call, beside the same call untraced.
fn goal(off: f64) -> f64 {
    1.1 * off
}

/// Measures a call of a function with one span of two fields: with tracing off, beside `add`, which has
/// none; and traced, up to what TypeScript is given.
pub(crate) fn measure(effort: &Effort, report: &mut Report) -> Result<()> {
    let mut guest = Guest::start(&config(MEMORY_MIB)?)?;
    let add = guest.prepare("add", &(20, 22))?;
    let traced = guest.prepare("traced", &(20, 22))?;
    let trace = CallTrace {
        directives: Some(Arc::new(Directives::parse("info")?)),
        context: TraceContext { trace_id: [1; 16], span_id: [2; 8], flags: 1 },
        wall_offset: wall_offset(),
    };
    // In two sandboxes: a guest reads its directives again when what is wanted changes.
    let mut other = Guest::start(&config(MEMORY_MIB)?)?;
    run(&mut other.sandbox, &traced, &trace)?;
    guest.run(&traced)?;
    let before = other.sandbox.statistics();
    let samples = effort.samples * 5;
    let guest = RefCell::new(guest);
    let sandbox = &mut other.sandbox;
    let untraced = |call: &Call| {
        sample(samples, &mut *guest.borrow_mut(), |_| Ok(()), |guest| guest.run(call))
    };
    let mut turns: [Turn<'_>; 3] = [
        Box::new(|| untraced(&add)),
        Box::new(|| untraced(&traced)),
        Box::new(|| {
            sample(samples, &mut *sandbox, |_| Ok(()), |sandbox| run(sandbox, &traced, &trace))
        }),
    ];
    let series = in_turns(effort.rounds, &mut turns)?;
    drop(turns);
    let after = other.sandbox.statistics();
    let per_call = |count: u64| count as f64 / (after.calls - before.calls) as f64;
    report.add(Measurement::new("trace", "call without a span", &series[0]));
    report.add(Measurement::new("trace", "call with a span, off", &series[1]).beside(
        "without",
        &series[1],
        &series[0],
        Some(off_goal),
    ));
    report.add(
        Measurement::new("trace", "call with a span, traced", &series[2])
            .beside("off", &series[2], &series[1], Some(goal))
            .counted("exits", per_call(after.exits - before.exits))
            .counted("trace bytes", per_call(after.trace_bytes - before.trace_bytes)),
    );
    Ok(())
}

fn run(sandbox: &mut Sandbox, call: &Call, trace: &CallTrace) -> Result<()> {
    let budget = Budget::default();
    sandbox.begin_traced_call(call.function, &call.arguments, budget, Some(trace))?;
    ensure!(sandbox.run() == Step::Return, "the call did not return");
    black_box(sandbox.take_trace_json(512, usize::MAX));
    Ok(())
}
