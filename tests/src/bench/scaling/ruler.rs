use super::chart::Scale;

/// Steps that a linear axis may have, in powers of ten.
const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// Ticks of a linear axis, at most.
const TICKS_LIMIT: f64 = 6.0;
/// A logarithmic axis of up to so many powers of ten also has ticks at 2 and 5.
const FINE_POWERS_LIMIT: i32 = 2;

/// Where values lie on an axis, and where it has ticks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ruler {
    scale: Scale,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Ruler {
    /// With room for all values; those that an axis cannot have are left out.
    pub(super) fn over(scale: Scale, values: &[f64]) -> Self {
        match scale {
            Scale::Logarithmic => Self::logarithmic(values),
            Scale::Linear => Self::linear(values),
            Scale::Named => Self::of_places(scale, values),
        }
    }

    /// Which ends where the values do, with a tick at each.
    pub(super) fn of_places(scale: Scale, places: &[f64]) -> Self {
        let (low, high) = match scale {
            Scale::Named => (0.0, (1..places.len()).map(|_| 1.0).sum()),
            Scale::Linear | Scale::Logarithmic => ends(places),
        };
        Self { scale, low, high, ticks: places.to_vec() }
    }

    fn linear(values: &[f64]) -> Self {
        let highest = ends(values).1.max(f64::MIN_POSITIVE);
        let power = 10_f64.powf((highest / TICKS_LIMIT).log10().floor());
        let step = STEPS.map(|step| step * power).into_iter().find(|step| highest / step <= TICKS_LIMIT);
        let step = step.unwrap_or(highest);
        let mut ticks = vec![0.0];
        while ticks.last().is_some_and(|last| *last < highest) {
            ticks.push(step * ticks.iter().map(|_| 1.0).sum::<f64>());
        }
        let high = ticks.last().copied().unwrap_or(highest);
        Self { scale: Scale::Linear, low: 0.0, high, ticks }
    }

    fn logarithmic(values: &[f64]) -> Self {
        let positive: Vec<f64> = values.iter().copied().filter(|value| *value > 0.0).collect();
        let (lowest, highest) = ends(&positive);
        let powers = -9..=12_i32;
        let low = powers.clone().rev().find(|power| 10_f64.powi(*power) <= lowest * (1.0 + 1e-9)).unwrap_or(-9);
        let high =
            powers.clone().find(|power| 10_f64.powi(*power) >= highest * (1.0 - 1e-9)).unwrap_or(12).max(low + 1);
        let within: &[f64] = if high - low <= FINE_POWERS_LIMIT { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let ticks = (low..high).flat_map(|power| within.iter().map(move |step| step * 10_f64.powi(power)));
        let ticks: Vec<f64> = ticks.chain([10_f64.powi(high)]).collect();
        Self { scale: Scale::Logarithmic, low: 10_f64.powi(low), high: 10_f64.powi(high), ticks }
    }

    /// In order.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// How far along the axis a value lies, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let flat = |value: f64| match self.scale {
            Scale::Logarithmic => value.max(f64::MIN_POSITIVE).log10(),
            Scale::Linear => value,
            Scale::Named => self.ticks.iter().take_while(|tick| **tick < value).map(|_| 1.0).sum(),
        };
        let ends = if self.scale == Scale::Named { [self.low, self.high] } else { [flat(self.low), flat(self.high)] };
        let length = ends[1] - ends[0];
        if length <= 0.0 { 0.5 } else { ((flat(value) - ends[0]) / length).clamp(0.0, 1.0) }
    }
}

fn ends(values: &[f64]) -> (f64, f64) {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    if low <= high { (low, high) } else { (1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::Ruler;
    use crate::bench::scaling::chart::Scale;

    #[test]
    fn a_linear_axis_begins_at_zero_and_has_round_ticks() {
        assert_eq!(Ruler::over(Scale::Linear, &[130.0, 870.0]).ticks(), [0.0, 200.0, 400.0, 600.0, 800.0, 1000.0]);
        assert_eq!(Ruler::over(Scale::Linear, &[4.0]).ticks(), [0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_logarithmic_axis_lies_between_powers_of_ten() {
        let short = Ruler::over(Scale::Logarithmic, &[0.2, 0.7]);
        for (tick, expected) in short.ticks().iter().zip([0.1, 0.2, 0.5, 1.0]) {
            assert!((tick - expected).abs() < 1e-9, "{short:?}");
        }
        let long = Ruler::over(Scale::Logarithmic, &[1.0, 1000.0]);
        assert_eq!(long.ticks().len(), 4);
        assert!((long.share(10.0) - 1.0 / 3.0).abs() < 1e-9 && long.share(0.0) <= 0.0, "{long:?}");
    }

    #[test]
    fn places_reach_from_end_to_end() {
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Named] {
            let ruler = Ruler::of_places(scale, &[1.0, 10.0, 100.0]);
            assert!(ruler.share(1.0) <= 0.0 && ruler.share(100.0) >= 1.0, "{ruler:?}");
            let middle = ruler.share(10.0);
            let expected = if scale == Scale::Linear { 9.0 / 99.0 } else { 0.5 };
            assert!((middle - expected).abs() < 1e-9, "{middle}: {ruler:?}");
        }
    }

    #[test]
    fn strange_values_leave_an_axis() {
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Named] {
            for values in [&[] as &[f64], &[0.0], &[f64::INFINITY], &[f64::NAN, 3.0], &[3.0, 3.0]] {
                let ruler = Ruler::over(scale, values);
                assert!(ruler.share(3.0).is_finite() && ruler.ticks().len() < 40, "{ruler:?}");
            }
        }
    }
}
