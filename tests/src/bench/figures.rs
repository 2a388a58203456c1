//! What was measured.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// The rows, in the order in which they are measured and shown. `DESIGN.md` says what each does.
pub const ROWS: [&str; 14] = [
    "write sequential",
    "write sequential, synced",
    "read cold",
    "read warm",
    "read random 128 KiB",
    "create 4 KiB, 1 thread",
    "read 4 KiB cold, 1 thread",
    "list with stat",
    "delete, 1 thread",
    "create 4 KiB, 16 threads",
    "create 4 KiB, synced, 1 thread",
    "delete, 1 thread (2)",
    "create 4 KiB, synced, 16 threads",
    "delete, 16 threads",
];

/// One row of one round.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// Which of [`ROWS`].
    pub row: &'static str,
    /// Amount a second.
    pub value: f64,
    /// `MiB/s` or `files/s`.
    pub unit: &'static str,
    /// How long it took.
    pub seconds: f64,
}

impl Figure {
    /// The figure of `amount` done in `took`.
    #[must_use]
    pub fn new(row: &'static str, amount: f64, unit: &'static str, took: Duration) -> Self {
        let seconds = took.as_secs_f64();
        Self { row, value: amount / seconds, unit, seconds }
    }
}

/// All rounds of all subjects.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    rounds: BTreeMap<String, Vec<Vec<Figure>>>,
}

impl Figures {
    /// Adds one round of a subject.
    pub fn add(&mut self, subject: &str, round: Vec<Figure>) {
        self.rounds.entry(subject.to_owned()).or_default().push(round);
    }

    /// Median of a row over the rounds of a subject.
    #[must_use]
    pub fn median(&self, subject: &str, row: &str) -> Option<f64> {
        let rounds = self.rounds.get(subject)?.iter().flatten();
        median(rounds.filter(|figure| figure.row == row).map(|figure| figure.value).collect())
    }

    /// Lowest and highest value of a row over the rounds of a subject.
    #[must_use]
    pub fn range(&self, subject: &str, row: &str) -> Option<(f64, f64)> {
        let rounds = self.rounds.get(subject)?.iter().flatten();
        let values = rounds.filter(|figure| figure.row == row).map(|figure| figure.value);
        values.fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })
    }

    /// The unit of a row.
    #[must_use]
    pub fn unit(&self, row: &str) -> &'static str {
        let mut figures = self.rounds.values().flatten().flatten();
        figures.find(|figure| figure.row == row).map_or("", |figure| figure.unit)
    }
}

/// The middle of some figures; `None` of none.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

#[cfg(test)]
mod tests {
    use super::{Figure, Figures, median};
    use std::time::Duration;

    #[test]
    fn the_median_ignores_one_round_that_went_wrong() {
        assert_eq!(median(vec![3.0, 1000.0, 2.0]), Some(3.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn rounds_of_one_subject_are_put_together_by_row() {
        let mut figures = Figures::default();
        for seconds in [1, 2, 4] {
            let took = Duration::from_secs(seconds);
            figures.add("one", vec![Figure::new("read cold", 8.0, "MiB/s", took)]);
        }
        assert_eq!(figures.median("one", "read cold"), Some(4.0));
        assert_eq!(figures.range("one", "read cold"), Some((2.0, 8.0)));
        assert_eq!(figures.median("two", "read cold"), None);
    }
}
