//! A picture of lines, as SVG text.

use std::fmt::{Arguments, Write};

use super::chart::{Chart, Line};
use super::numbers::shown;
use super::ruler::Ruler;
use crate::bench::svg::{escaped, opened};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 480.0;
const LEFT: f64 = 88.0;
const TOP: f64 = 48.0;
/// From the bottom to the axis: its names and its label.
const BELOW: f64 = 56.0;
/// Right of the lines: the legend.
const LEGEND_WIDTH: f64 = 264.0;
const LEGEND_STEP: f64 = 20.0;
/// Points are this far from the ends of their axis.
const INDENT: f64 = 24.0;
const COLORS: [&str; 6] = ["#2f6f9f", "#c4704a", "#4a8a6a", "#7a5a9a", "#a08a2a", "#555555"];

/// Where the figures of a chart lie in its picture.
struct Canvas {
    x: Ruler,
    y: Ruler,
    text: String,
}

/// The picture of a chart: a line through the medians, a bar over all rounds at each, and a legend.
pub(super) fn lines(chart: &Chart) -> String {
    let places = chart.places();
    let values = chart.lines.iter().flat_map(|line| &line.points).flat_map(|point| [point.y.low, point.y.high]);
    let mut canvas = Canvas {
        x: Ruler::of_places(chart.x.scale, &places.iter().map(|place| place.0).collect::<Vec<_>>()),
        y: Ruler::over(chart.y.scale, &values.collect::<Vec<_>>()),
        text: opened(WIDTH, HEIGHT),
    };
    canvas.add_axes(chart, &places);
    for (number, line) in chart.lines.iter().enumerate() {
        canvas.add_line(line, COLORS[number % COLORS.len()]);
    }
    for (top, (number, line)) in (0_u32..).zip(chart.lines.iter().enumerate()) {
        canvas.add_legend(line, COLORS[number % COLORS.len()], TOP + LEGEND_STEP * f64::from(top));
    }
    canvas.text + "</svg>\n"
}

impl Canvas {
    fn add(&mut self, text: Arguments) {
        self.text.write_fmt(text).expect("a String takes all text");
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + INDENT + self.x.share(value) * (WIDTH - LEFT - LEGEND_WIDTH - 2.0 * INDENT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BELOW - self.y.share(value) * (HEIGHT - BELOW - TOP)
    }

    fn add_axes(&mut self, chart: &Chart, places: &[(f64, &str)]) {
        let (right, bottom) = (WIDTH - LEGEND_WIDTH, HEIGHT - BELOW);
        self.add(format_args!("<text x=\"{LEFT}\" y=\"22\" font-size=\"14\">{}</text>\n", escaped(&chart.title)));
        for tick in self.y.ticks().to_vec() {
            let (y, name) = (self.y(tick), shown(tick));
            self.add(format_args!(
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
                LEFT - 8.0,
                y + 4.0
            ));
        }
        for (place, name) in places {
            let (x, name) = (self.x(*place), escaped(name));
            self.add(format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{bottom}\" y2=\"{}\" stroke=\"#444444\"/>\
                 <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>\n",
                bottom + 5.0,
                bottom + 20.0
            ));
        }
        let middle = f64::midpoint(TOP, bottom);
        self.add(format_args!(
            "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{bottom}\" y2=\"{bottom}\" stroke=\"#444444\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(18 {middle}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
            f64::midpoint(LEFT, right),
            HEIGHT - 12.0,
            escaped(&chart.x.label),
            escaped(&chart.y.label)
        ));
    }

    fn add_line(&mut self, line: &Line, color: &str) {
        let at = |point: &super::chart::Point| format!("{:.1},{:.1}", self.x(point.x), self.y(point.y.median));
        let path = line.points.iter().map(at).collect::<Vec<_>>().join(" ");
        self.add(format_args!(
            "<polyline class=\"line\" points=\"{path}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\n"
        ));
        for point in &line.points {
            let x = self.x(point.x);
            let [median, low, high] = [point.y.median, point.y.low, point.y.high].map(|value| self.y(value));
            self.add(format_args!(
                "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" y2=\"{high:.1}\" stroke=\"{color}\"/>\
                 <circle cx=\"{x:.1}\" cy=\"{median:.1}\" r=\"3.5\" fill=\"{color}\"/>\n"
            ));
        }
    }

    fn add_legend(&mut self, line: &Line, color: &str, y: f64) {
        let x = WIDTH - LEGEND_WIDTH + 16.0;
        let law = line.law.map_or_else(String::new, |law| format!(" (exponent {:.2})", law.exponent));
        self.add(format_args!(
            "<line x1=\"{x}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{}\">{}{law}</text>\n",
            x + 20.0,
            x + 26.0,
            y + 4.0,
            escaped(&line.label)
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::bench::scaling::chart::{Scale, example};

    #[test]
    fn every_line_and_every_place_is_there() {
        for x in [Scale::Linear, Scale::Logarithmic, Scale::Named] {
            for y in [Scale::Linear, Scale::Logarithmic] {
                let svg = lines(&example(x, y));
                assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
                assert_eq!(svg.matches("class=\"line\"").count(), 2);
                assert_eq!(svg.matches("<circle").count(), 5);
                assert!(["at 1<", "at 10<", "at 100<", "MiB/s", "size, KiB"].iter().all(|part| svg.contains(part)));
                assert!(svg.contains("a &lt; b &amp; c (exponent 1.00)") && !svg.contains("a < b"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn what_is_more_lies_higher_and_further_right() {
        let svg = lines(&example(Scale::Logarithmic, Scale::Logarithmic));
        let line = svg.lines().find(|line| line.starts_with("<polyline")).unwrap();
        let points = line.split("points=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let points: Vec<(f64, f64)> = points
            .split(' ')
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert!(points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 > pair[1].1), "{points:?}");
    }
}
