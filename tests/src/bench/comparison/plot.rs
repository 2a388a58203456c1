//! A picture of ratios, as SVG text: a bar for each row on a logarithmic axis.

use std::fmt::Write;

use crate::bench::spread::Spread;
use crate::bench::svg::{escaped, opened};

const WIDTH: f64 = 960.0;
const LABEL_WIDTH: f64 = 380.0;
const BAR_HEIGHT: f64 = 14.0;
const ROW_HEIGHT: f64 = 22.0;
const HEAD_HEIGHT: f64 = 48.0;
const MARGIN: f64 = 16.0;
/// Room behind the longest bar for its number.
const NUMBER_WIDTH: f64 = 64.0;

/// One row of the picture.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) ratio: Spread,
    /// Where the bar has to reach.
    pub(super) target: Option<f64>,
}

/// Where ratios lie on the axis, between two powers of ten.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    fn of(bars: &[Bar]) -> Self {
        let values = bars.iter().flat_map(|bar| [bar.ratio.low, bar.ratio.high].into_iter().chain(bar.target));
        let logarithms: Vec<f64> = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::log10).collect();
        let powers = || -3..=6;
        let low = powers().rev().find(|power| logarithms.iter().all(|value| f64::from(*power) <= *value));
        let high = powers().find(|power| logarithms.iter().all(|value| f64::from(*power) >= *value));
        Self { low: low.unwrap_or(-3).min(0), high: high.unwrap_or(6).max(1) }
    }

    fn x(self, value: f64) -> f64 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let share = (value.max(f64::MIN_POSITIVE).log10().clamp(low, high) - low) / (high - low);
        LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH - MARGIN - NUMBER_WIDTH)
    }
}

/// The picture of some bars.
pub(super) fn bars(bars: &[Bar]) -> String {
    let (axis, rows) = (Axis::of(bars), u32::try_from(bars.len()).unwrap_or(u32::MAX));
    let bottom = HEAD_HEIGHT + f64::from(rows) * ROW_HEIGHT;
    let height = bottom + MARGIN;
    let mut svg = opened(WIDTH, height);
    let title = format!(
        "<text x=\"{MARGIN}\" y=\"18\" font-size=\"14\">Cairn against the better peer (in parentheses): times as fast; tick: target</text>\n"
    );
    svg.push_str(&title);
    for power in axis.low..=axis.high {
        let (x, value) = (axis.x(10_f64.powi(power)), 10_f64.powi(power));
        let color = if power == 0 { "#444444" } else { "#dddddd" };
        let line = format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD_HEIGHT}\" y2=\"{bottom}\" stroke=\"{color}\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{value}x</text>\n",
            HEAD_HEIGHT - 6.0
        );
        svg.push_str(&line);
    }
    for (row, bar) in (0_u32..).zip(bars) {
        add_bar(&mut svg, axis, bar, HEAD_HEIGHT + f64::from(row) * ROW_HEIGHT);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A bar from 1 to the median, a line over all rounds, and a tick where it has to reach.
fn add_bar(svg: &mut String, axis: Axis, bar: &Bar, top: f64) {
    let Spread { median, low, high } = bar.ratio;
    let (one, end, middle) = (axis.x(1.0), axis.x(median), top + ROW_HEIGHT / 2.0);
    let color = if bar.target.is_some_and(|target| median < target) || median < 1.0 { "#c4704a" } else { "#4a8a6a" };
    let mut add = |text: std::fmt::Arguments| svg.write_fmt(text).expect("a String takes all text");
    add(format_args!(
        "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
        LABEL_WIDTH - 8.0,
        middle + 4.0,
        escaped(&bar.label)
    ));
    add(format_args!(
        "<rect class=\"bar\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR_HEIGHT}\" fill=\"{color}\"/>",
        one.min(end),
        middle - BAR_HEIGHT / 2.0,
        (end - one).abs().max(1.0)
    ));
    add(format_args!(
        "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\" stroke=\"#222222\"/>",
        axis.x(low),
        axis.x(high)
    ));
    if let Some(target) = bar.target {
        let x = axis.x(target);
        let (from, to) = (middle - ROW_HEIGHT / 2.0 + 1.0, middle + ROW_HEIGHT / 2.0 - 1.0);
        add(format_args!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{from}\" y2=\"{to}\" stroke=\"#000000\" stroke-width=\"2\"/>"
        ));
    }
    let behind = axis.x(median.max(high)).max(one) + 6.0;
    add(format_args!("<text x=\"{behind:.1}\" y=\"{}\">{median:.2}</text>\n", middle + 4.0));
}

#[cfg(test)]
mod tests {
    use super::{Axis, Bar, bars};
    use crate::bench::spread::Spread;

    fn bar(low: f64, high: f64, target: Option<f64>) -> Bar {
        Bar { label: "a < b & c".to_owned(), ratio: Spread { median: low.midpoint(high), low, high }, target }
    }

    #[test]
    fn the_axis_has_room_for_all_and_shows_one() {
        let axis = Axis::of(&[bar(0.4, 3.0, None), bar(2.0, 20.0, Some(150.0))]);
        assert_eq!((axis.low, axis.high), (-1, 3));
        assert!(axis.x(0.4) < axis.x(1.0) && axis.x(1.0) < axis.x(20.0));
        let empty = Axis::of(&[]);
        assert_eq!((empty.low, empty.high), (0, 1));
        let extreme = Axis::of(&[bar(0.0, f64::INFINITY, None)]);
        assert!(extreme.x(0.0).is_finite() && extreme.x(f64::INFINITY).is_finite());
    }

    #[test]
    fn labels_are_escaped_and_bars_are_there() {
        let svg = bars(&[bar(0.4, 3.0, None), bar(2.0, 20.0, Some(4.0))]);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("class=\"bar\"").count(), 2);
        assert!(svg.contains("a &lt; b &amp; c") && !svg.contains("a < b"));
    }
}
