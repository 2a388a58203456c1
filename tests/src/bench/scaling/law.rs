use serde::Serialize;

/// Points below which no law is told.
const POINTS_AT_LEAST: usize = 3;

/// A power of what grows: `y = factor * x^exponent`, the line of least squares through the logarithms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PowerLaw {
    /// 0: it does not grow, 1: it grows as what is on the axis.
    pub exponent: f64,
    /// One standard error of it.
    pub exponent_error: f64,
    /// What it is at 1.
    pub factor: f64,
    /// The share of the variance of the logarithms that the line explains. Of what stays the same it says nothing: look at
    /// the error.
    pub r_squared: f64,
}

impl PowerLaw {
    /// `None` of fewer than three points, of a point that is not above 0, and where nothing grows on the axis.
    pub(super) fn through(points: &[(f64, f64)]) -> Option<Self> {
        let is_positive = |value: f64| value.is_finite() && value > 0.0;
        if points.len() < POINTS_AT_LEAST || !points.iter().all(|(x, y)| is_positive(*x) && is_positive(*y)) {
            return None;
        }
        let logarithms: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
        let count = logarithms.iter().map(|_| 1.0).sum::<f64>();
        let mean = |of: fn(&(f64, f64)) -> f64| logarithms.iter().map(of).sum::<f64>() / count;
        let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
        let sum =
            |of: &dyn Fn(f64, f64) -> f64| -> f64 { logarithms.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum() };
        let (across, up) = (sum(&|x, _| x * x), sum(&|_, y| y * y));
        if across <= f64::EPSILON {
            return None;
        }
        let exponent = sum(&|x, y| x * y) / across;
        let unexplained = sum(&|x, y| (y - exponent * x).powi(2));
        Some(Self {
            exponent,
            exponent_error: (unexplained / (count - 2.0) / across).sqrt(),
            factor: (mean_y - exponent * mean_x).exp(),
            r_squared: if up > f64::EPSILON { 1.0 - unexplained / up } else { 1.0 },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PowerLaw;
    use proptest::{prop_assert, proptest};

    fn near(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-6 * other.abs().max(1.0)
    }

    #[test]
    fn what_does_not_grow_has_exponent_zero() {
        let law = PowerLaw::through(&[(10.0, 7.0), (100.0, 7.0), (1000.0, 7.0)]).unwrap();
        assert!(near(law.exponent, 0.0) && near(law.exponent_error, 0.0) && near(law.factor, 7.0), "{law:?}");
    }

    #[test]
    fn points_beside_the_line_show_in_its_quality() {
        let straight = PowerLaw::through(&[(1.0, 2.0), (10.0, 20.0), (100.0, 200.0)]).unwrap();
        let bent = PowerLaw::through(&[(1.0, 2.0), (10.0, 60.0), (100.0, 200.0)]).unwrap();
        assert!(near(straight.exponent, 1.0) && near(straight.r_squared, 1.0), "{straight:?}");
        assert!(near(bent.exponent, 1.0) && bent.r_squared < 0.98 && bent.exponent_error > 0.1, "{bent:?}");
    }

    #[test]
    fn no_law_goes_through_too_few_points_or_through_none_that_has_a_logarithm() {
        assert_eq!(PowerLaw::through(&[(1.0, 2.0), (10.0, 20.0)]), None);
        assert_eq!(PowerLaw::through(&[(1.0, 2.0), (10.0, 0.0), (100.0, 2.0)]), None);
        assert_eq!(PowerLaw::through(&[(1.0, 2.0), (10.0, f64::NAN), (100.0, 2.0)]), None);
        assert_eq!(PowerLaw::through(&[(5.0, 2.0), (5.0, 3.0), (5.0, 4.0)]), None);
    }

    proptest! {
        #[test]
        fn the_law_that_made_the_points_is_found(exponent in -3.0_f64..3.0, factor in 0.001_f64..1000.0) {
            let points = [1.0_f64, 7.0, 50.0, 400.0].map(|x| (x, factor * x.powf(exponent)));
            let law = PowerLaw::through(&points).unwrap();
            prop_assert!(near(law.exponent, exponent) && near(law.factor, factor), "{:?}", law);
        }
    }
}
