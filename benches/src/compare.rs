//! Measuring several things in turns.

use anyhow::Result;

/// Durations of one contestant in microseconds, round by round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Series {
    rounds: Vec<Vec<f64>>,
}

/// One turn of a contestant: its samples, in microseconds. What it needs to do first, and does not
/// want to be measured, it does before the first sample.
pub(crate) type Turn<'a> = Box<dyn FnMut() -> Result<Vec<f64>> + 'a>;

/// Gives every contestant a turn in each round, the first of a round changing, and returns a series
/// for each.
pub(crate) fn in_turns(rounds: usize, contestants: &mut [Turn<'_>]) -> Result<Vec<Series>> {
    let count = contestants.len();
    let mut series = vec![Series::default(); count];
    for round in 0..rounds {
        for place in 0..count {
            let index = (round + place) % count;
            series[index].rounds.push(contestants[index]()?);
        }
    }
    Ok(series)
}

impl From<Vec<Vec<f64>>> for Series {
    fn from(rounds: Vec<Vec<f64>>) -> Self {
        Self { rounds }
    }
}

impl Series {
    /// The sample below which the share `quantile` of all samples lies.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        quantile_of(self.rounds.iter().flatten().copied().collect(), quantile)
    }

    pub(crate) fn count(&self) -> usize {
        self.rounds.iter().map(Vec::len).sum()
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.len()
    }

    /// How many times `floor` this takes: the median over rounds of the medians' ratio, so that a
    /// machine that gets slower half-way slows down both halves of each ratio.
    pub(crate) fn ratio_to(&self, floor: &Self) -> f64 {
        let ratios =
            self.rounds.iter().zip(&floor.rounds).map(|(own, other)| {
                quantile_of(own.clone(), 0.5) / quantile_of(other.clone(), 0.5)
            });
        quantile_of(ratios.collect(), 0.5)
    }
}

/// The nearest-rank quantile; NaN of nothing.
fn quantile_of(mut values: Vec<f64>, quantile: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_unstable_by(f64::total_cmp);
    let rank = (quantile * values.len() as f64).ceil();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is between 0 and the number of samples"
    )]
    let rank = rank as usize;
    values[rank.clamp(1, values.len()) - 1]
}

#[cfg(test)]
mod tests {
    use super::{Series, Turn, in_turns};

    #[test]
    fn every_contestant_goes_first_in_turn() {
        let order = std::cell::RefCell::new(Vec::new());
        let turn = |name: usize| -> Turn<'_> {
            let order = &order;
            Box::new(move || {
                order.borrow_mut().push(name);
                Ok(vec![1.0])
            })
        };
        let series = in_turns(3, &mut [turn(0), turn(1), turn(2)]).unwrap();
        assert_eq!(*order.borrow(), [0, 1, 2, 1, 2, 0, 2, 0, 1]);
        assert!(series.iter().all(|series| series.count() == 3 && series.rounds() == 3));
    }

    #[test]
    fn quantiles_are_samples_and_ratios_are_taken_within_rounds() {
        let series = Series { rounds: vec![vec![4.0, 2.0, 3.0], vec![1.0, 20.0, 10.0]] };
        assert!((series.quantile(0.5) - 3.0).abs() < 1e-9);
        assert!((series.quantile(0.99) - 20.0).abs() < 1e-9);
        let floor = Series { rounds: vec![vec![1.0], vec![5.0]] };
        assert!((series.ratio_to(&floor) - 2.0).abs() < 1e-9, "{}", series.ratio_to(&floor));
    }
}
