//! What was measured: printed as it comes, and written as JSON.

use crate::compare::Series;
use crate::machine::Machine;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// All measurements of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    measurements: Vec<Measurement>,
    notes: Vec<String>,
}

/// One row: something measured, in microseconds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measurement {
    /// The benchmark it belongs to.
    pub(crate) benchmark: &'static str,
    /// What was timed.
    pub(crate) name: String,
    /// Under which circumstances: pages, MiB, live VMs, ...
    pub(crate) parameters: BTreeMap<&'static str, f64>,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) samples: usize,
    pub(crate) rounds: usize,
    /// Name of the floor that was measured in turns with it; a floor itself has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor: Option<String>,
    /// The floor's median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) floor_p50: Option<f64>,
    /// How many times the floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ratio: Option<f64>,
    /// The most it may take by the goals, computed from the floor's median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<f64>,
    /// What was counted, not timed: exits, pages, ...
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) counts: BTreeMap<&'static str, f64>,
}

impl Measurement {
    pub(crate) fn new(benchmark: &'static str, name: &str, series: &Series) -> Self {
        Self {
            benchmark,
            name: name.to_owned(),
            parameters: BTreeMap::new(),
            p50: series.quantile(0.5),
            p90: series.quantile(0.9),
            p99: series.quantile(0.99),
            samples: series.count(),
            rounds: series.rounds(),
            floor: None,
            floor_p50: None,
            ratio: None,
            goal: None,
            counts: BTreeMap::new(),
        }
    }

    pub(crate) fn at(mut self, parameter: &'static str, value: f64) -> Self {
        self.parameters.insert(parameter, value);
        self
    }

    pub(crate) fn counted(mut self, what: &'static str, value: f64) -> Self {
        self.counts.insert(what, value);
        self
    }

    /// Beside its floor; `goal` makes the most it may take out of the floor's median.
    pub(crate) fn beside(
        mut self,
        floor: &str,
        own: &Series,
        other: &Series,
        goal: Option<fn(f64) -> f64>,
    ) -> Self {
        let p50 = other.quantile(0.5);
        self.floor = Some(floor.to_owned());
        self.floor_p50 = Some(p50);
        self.ratio = Some(own.ratio_to(other));
        self.goal = goal.map(|goal| goal(p50));
        self
    }

    fn line(&self) -> String {
        let list = |values: &BTreeMap<&str, f64>| {
            values.iter().map(|(name, value)| format!(" {name}={value}")).collect::<String>()
        };
        let mut line = format!(
            "{:<28}{:<28} p50 {:>9.2}  p90 {:>9.2}  p99 {:>9.2} us",
            self.name,
            list(&self.parameters),
            self.p50,
            self.p90,
            self.p99
        );
        if let (Some(floor), Some(p50), Some(ratio)) = (&self.floor, self.floor_p50, self.ratio) {
            line.push_str(&format!("  {ratio:.2} x {floor} ({p50:.2})"));
        }
        if let Some(goal) = self.goal {
            let verdict = if self.p50 <= goal { "within" } else { "above" };
            line.push_str(&format!("  {verdict} goal {goal:.2}"));
        }
        line + &list(&self.counts)
    }
}

impl Report {
    pub(crate) fn new(machine: Machine) -> Self {
        say(&machine.line());
        Self { machine, measurements: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn add(&mut self, measurement: Measurement) {
        say(&measurement.line());
        self.measurements.push(measurement);
    }

    /// Something that a reader of the figures must know.
    pub(crate) fn note(&mut self, text: String) {
        say(&format!("note: {text}"));
        self.notes.push(text);
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }
}

fn say(line: &str) {
    // A reader that went away is no reason to stop measuring.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
