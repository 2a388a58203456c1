use serde::Serialize;

use super::law::PowerLaw;
use crate::bench::spread::Spread;

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// From 0, in equal steps.
    Linear,
    /// In equal factors.
    Logarithmic,
    /// Side by side, whatever they are: they have names, not sizes.
    Named,
}

/// What an axis shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    /// With the unit.
    pub label: String,
    /// How values lie along it.
    pub scale: Scale,
}

impl Axis {
    pub(super) fn new(label: &str, scale: Scale) -> Self {
        Self { label: label.to_owned(), scale }
    }
}

/// What was measured at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The place on the axis.
    pub x: f64,
    /// What stands there.
    pub name: String,
    /// All rounds.
    pub y: Spread,
}

/// Figures of one kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// What they are.
    pub label: String,
    /// In the order of the axis.
    pub points: Vec<Point>,
    /// Where it is meant to be one.
    pub law: Option<PowerLaw>,
}

impl Line {
    pub(super) fn new(label: &str, points: Vec<Point>) -> Self {
        Self { label: label.to_owned(), points, law: None }
    }

    /// The same with the law through the medians.
    pub(super) fn with_law(mut self) -> Self {
        let medians: Vec<(f64, f64)> = self.points.iter().map(|point| (point.x, point.y.median)).collect();
        self.law = PowerLaw::through(&medians);
        self
    }
}

/// How something changes while something else grows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Chart {
    /// Names its picture.
    pub name: String,
    /// For people.
    pub title: String,
    /// What grows.
    pub x: Axis,
    /// What was measured.
    pub y: Axis,
    /// In the order of the legend.
    pub lines: Vec<Line>,
}

impl Chart {
    /// The places of all lines, once each, in their order, with their names.
    pub(super) fn places(&self) -> Vec<(f64, &str)> {
        let points = self.lines.iter().flat_map(|line| &line.points);
        let mut places: Vec<(f64, &str)> = points.map(|point| (point.x, point.name.as_str())).collect();
        places.sort_by(|one, other| one.0.total_cmp(&other.0));
        places.dedup_by(|one, other| one.0.total_cmp(&other.0).is_eq());
        places
    }
}

#[cfg(test)]
pub(super) fn example(x: Scale, y: Scale) -> Chart {
    let point = |x: f64, median: f64| Point {
        x,
        name: format!("at {x}"),
        y: Spread { median, low: median * 0.8, high: median * 1.5 },
    };
    let [first, second] = [10.0, 0.5].map(|factor| {
        let points = [1.0, 10.0, 100.0].map(|x| point(x, factor * x)).to_vec();
        Line::new("a < b & c", points).with_law()
    });
    let lines = vec![first, Line { law: None, points: second.points[1..].to_vec(), ..second }];
    Chart {
        name: "example".to_owned(),
        title: "An example".to_owned(),
        x: Axis::new("size, KiB", x),
        y: Axis::new("MiB/s", y),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::{Scale, example};

    #[test]
    fn a_place_that_lines_share_is_there_once() {
        let chart = example(Scale::Linear, Scale::Linear);
        assert_eq!(chart.places(), [(1.0, "at 1"), (10.0, "at 10"), (100.0, "at 100")]);
        let law = chart.lines[0].law.unwrap();
        assert!((law.exponent - 1.0).abs() < 1e-9 && (law.factor - 10.0).abs() < 1e-6, "{law:?}");
    }
}
