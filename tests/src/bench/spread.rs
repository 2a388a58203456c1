use serde::Serialize;

/// The middle of some figures, with the lowest and the highest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// `None` of no figures.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        let median = median(values.to_vec())?;
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Some(Self { median, low, high })
    }

    /// How many times the lowest the highest is.
    pub(super) fn factor(self) -> f64 {
        if self.low > 0.0 { self.high / self.low } else { f64::INFINITY }
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
    use super::{Spread, median};

    #[test]
    fn the_median_ignores_one_round_that_went_wrong() {
        assert_eq!(median(vec![3.0, 1000.0, 2.0]), Some(3.0));
        assert_eq!(median(vec![1.0, 2.0]), Some(1.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_spread_goes_from_the_lowest_to_the_highest() {
        let spread = Spread::of(&[4.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { median: 3.0, low: 2.0, high: 4.0 });
        assert!((spread.factor() - 2.0).abs() < 1e-9);
        assert_eq!(Spread::of(&[]), None);
        assert!(Spread::of(&[0.0, 1.0]).unwrap().factor().is_infinite());
    }
}
