//! Restore: against the pages that a call wrote, and against the size of memory.

use crate::compare::{Series, Turn, in_turns};
use crate::effort::Effort;
use crate::guest::{Call, Guest, config, run};
use crate::report::{Measurement, Report};
use ampoule_floors::Copy;
use ampoule_floors::sample;
use ampoule_host::providers;
use ampoule_sandbox::{Sandbox, Snapshot};
use anyhow::Result;
use std::cell::RefCell;

/// Memory in the image while the number of pages changes, in MiB.
const MEMORY_MIB: u64 = 16;
/// Dirty pages while the size of memory changes.
const PAGES: u64 = 64;
/// What the guest holds where memory is only allowed, in MiB: enough for [`PAGES`].
const LITTLE_MIB: u64 = 1;

/// The goal for a restore, beside the copy of as many pages.
fn goal(copy: f64) -> f64 {
    3.0 + 1.5 * copy
}

/// How a call's pages lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// One behind the other.
    Together,
    /// Evenly over all memory held.
    Scattered,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Self::Together => "restore, pages together",
            Self::Scattered => "restore, pages scattered",
        }
    }
}

/// A sandbox that is dirtied and restored, with the floor for as many pages.
struct Contestant {
    rewind: Rewind,
    pages: Dirtied,
    floor: RefCell<Copy>,
}

/// What one restore does, once the pages are hot.
#[derive(Debug, Clone, Copy)]
struct Dirtied {
    /// Pages that it copies back.
    pages: u64,
    /// Whether it gives all memory back instead.
    wholesale: bool,
}

struct Rewind {
    sandbox: Sandbox,
    snapshot: Snapshot,
    call: Call,
}

/// Series of one contestant.
struct Outcome {
    restore: Series,
    by_host: Series,
    by_guest: Series,
}

/// Restore after 1 to 512 dirty pages, with 16 MiB of memory in the image.
pub(crate) fn against_pages(effort: &Effort, report: &mut Report) -> Result<()> {
    let mut guest = Guest::holding(MEMORY_MIB)?;
    let snapshot = guest.sandbox.snapshot()?;
    for layout in [Layout::Together, Layout::Scattered] {
        let mut contestants = effort
            .pages
            .iter()
            .map(|&pages| Contestant::new(&guest, &snapshot, pages, layout))
            .collect::<Result<Vec<_>>>()?;
        let all = contest(effort, &mut contestants)?;
        for (contestant, outcome) in contestants.iter().zip(&all) {
            add(report, "restore", layout.name(), outcome, contestant.pages, MEMORY_MIB);
        }
    }
    Ok(())
}

/// Restore after 64 dirty pages with 16 MiB to 4 GiB in the image, or allowed and not used. All sizes
/// take turns, so that their images are there at the same time.
pub(crate) fn against_memory(effort: &Effort, report: &mut Report) -> Result<()> {
    let names = [Layout::Together.name(), Layout::Scattered.name(), "restore, unused memory"];
    let mut contestants = Vec::new();
    for &mib in effort.memory_mib {
        let mut guest = Guest::holding(mib)?;
        let snapshot = guest.sandbox.snapshot()?;
        let mut allowed = Guest::start(&config(mib + mib / 256 + 16)?)?;
        let hold = allowed.prepare("hold", &(LITTLE_MIB,))?;
        allowed.run(&hold)?;
        let little = allowed.sandbox.snapshot()?;
        contestants.push(Contestant::new(&guest, &snapshot, PAGES, Layout::Together)?);
        contestants.push(Contestant::new(&guest, &snapshot, PAGES, Layout::Scattered)?);
        contestants.push(Contestant::new(&allowed, &little, PAGES, Layout::Together)?);
    }
    let all = contest(effort, &mut contestants)?;
    let sizes = effort.memory_mib.iter().flat_map(|&mib| names.map(|name| (name, mib)));
    for ((contestant, outcome), (name, mib)) in contestants.iter().zip(&all).zip(sizes) {
        add(report, "memory", name, outcome, contestant.pages, mib);
    }
    Ok(())
}

impl Contestant {
    /// A sandbox from `snapshot` whose call leaves `pages` dirty pages, those included that every
    /// call writes (the stack, the allocator), or as few as there can be.
    fn new(guest: &Guest, snapshot: &Snapshot, pages: u64, layout: Layout) -> Result<Self> {
        let step = match layout {
            Layout::Together => 1,
            Layout::Scattered => 0,
        };
        let nothing = guest.prepare("dirty", &(0, step))?;
        let own = Rewind::new(snapshot, nothing)?.dirtied()?.pages;
        let call = guest.prepare("dirty", &(pages.saturating_sub(own), step))?;
        let mut rewind = Rewind::new(snapshot, call)?;
        let mut dirtied = rewind.dirtied()?;
        if dirtied.wholesale {
            dirtied.pages = pages;
        }
        let floor = RefCell::new(Copy::of(usize::try_from(dirtied.pages)?)?);
        Ok(Self { rewind, pages: dirtied, floor })
    }
}

impl Rewind {
    fn new(snapshot: &Snapshot, call: Call) -> Result<Self> {
        let sandbox = Sandbox::from_snapshot(snapshot, providers().control(), providers())?;
        Ok(Self { sandbox, snapshot: snapshot.clone(), call })
    }

    /// What a restore does once the pages are hot.
    fn dirtied(&mut self) -> Result<Dirtied> {
        self.turn(3)?;
        let before = self.sandbox.statistics();
        run(&mut self.sandbox, &self.call)?;
        self.sandbox.restore(Some(&self.snapshot))?;
        let after = self.sandbox.statistics();
        Ok(Dirtied {
            pages: after.restored_pages - before.restored_pages,
            wholesale: after.wholesale_restores > before.wholesale_restores,
        })
    }

    /// Times of `samples` restores, each after the call.
    fn turn(&mut self, samples: usize) -> Result<Vec<f64>> {
        let dirty = |rewind: &mut Self| run(&mut rewind.sandbox, &rewind.call);
        sample(samples, self, dirty, |rewind| Ok(rewind.sandbox.restore(Some(&rewind.snapshot))?))
    }
}

/// Lets each restore and its two floors take turns.
fn contest(effort: &Effort, contestants: &mut [Contestant]) -> Result<Vec<Outcome>> {
    let samples = effort.samples;
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for Contestant { rewind, floor, .. } in contestants {
        let floor = &*floor;
        turns.push(Box::new(move || rewind.turn(samples)));
        turns.push(Box::new(move || floor.borrow_mut().by_host(samples)));
        turns.push(Box::new(move || floor.borrow_mut().by_guest(samples)));
    }
    let series = in_turns(effort.rounds, &mut turns)?;
    let outcomes = series.chunks_exact(3).map(|three| Outcome {
        restore: three[0].clone(),
        by_host: three[1].clone(),
        by_guest: three[2].clone(),
    });
    Ok(outcomes.collect())
}

/// Adds a restore and its floors.
fn add(
    report: &mut Report,
    benchmark: &'static str,
    name: &str,
    outcome: &Outcome,
    dirtied: Dirtied,
    memory_mib: u64,
) {
    let Outcome { restore, by_host, by_guest } = outcome;
    let mut add = |measurement: Measurement| {
        let measurement = measurement.at("pages", dirtied.pages as f64);
        report.add(measurement.at("memoryMiB", memory_mib as f64));
    };
    add(Measurement::new(benchmark, "copy", by_host));
    add(Measurement::new(benchmark, "copy after exit", by_guest));
    let mut restored =
        Measurement::new(benchmark, name, restore).beside("copy", restore, by_host, Some(goal));
    if dirtied.wholesale {
        restored = restored.counted("wholesale", 1.0);
    }
    add(restored);
}
