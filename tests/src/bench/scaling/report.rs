use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use serde::Serialize;

use super::chart::{Chart, Line};
use super::numbers::shown;
use super::plot;
use crate::bench::comparison::Machine;
use crate::bench::output;
use crate::bench::spread::Spread;

/// The charts of all series.
#[derive(Debug, Serialize)]
pub struct ScalingReport {
    /// Where it was measured.
    pub machine: Machine,
    /// How often.
    pub rounds: usize,
    /// In the order in which they were measured.
    pub charts: Vec<Chart>,
}

impl ScalingReport {
    /// A table for each chart.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("{}\n\nMedian (lowest..highest) of {} rounds.\n", self.machine.line(), self.rounds);
        for chart in &self.charts {
            add_chart(&mut text, chart);
        }
        text
    }

    /// Writes `bench-scaling.md`, `bench-scaling.json` and a picture of each chart, `bench-scaling-NAME.svg`, into a
    /// folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench-scaling", &self.markdown(), &serde_json::to_string_pretty(self)?)?;
        for chart in &self.charts {
            fs::write(folder.join(format!("bench-scaling-{}.svg", chart.name)), plot::lines(chart))?;
        }
        Ok(())
    }
}

fn add_chart(text: &mut String, chart: &Chart) {
    let heads: Vec<&str> = chart.lines.iter().map(|line| line.label.as_str()).collect();
    let mut add = |line: String| writeln!(text, "{line}").expect("a String takes all text");
    add(format!("\n## {} ({})\n", chart.title, chart.y.label));
    add(format!("| {} | {} |", chart.x.label, heads.join(" | ")));
    add(format!("|---|{}", "---:|".repeat(heads.len())));
    for (place, name) in chart.places() {
        let cells: Vec<String> = chart.lines.iter().map(|line| cell(line, place)).collect();
        add(format!("| {name} | {} |", cells.join(" | ")));
    }
    for line in &chart.lines {
        if let Some(law) = line.law {
            let (exponent, error, fit) = (law.exponent, law.exponent_error, law.r_squared);
            add(format!("\n{}: exponent {exponent:.3} ± {error:.3} (R² {fit:.3})", line.label));
        }
    }
}

fn cell(line: &Line, place: f64) -> String {
    let point = line.points.iter().find(|point| point.x.total_cmp(&place).is_eq());
    point.map_or_else(
        || "—".to_owned(),
        |point| {
            let Spread { median, low, high } = point.y;
            format!("{} ({}..{})", shown(median), shown(low), shown(high))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::ScalingReport;
    use crate::bench::comparison::Machine;
    use crate::bench::scaling::chart::{Scale, example};

    #[test]
    fn a_chart_is_a_table_a_picture_and_figures_for_programs() {
        let charts = vec![example(Scale::Logarithmic, Scale::Logarithmic)];
        let report = ScalingReport { machine: Machine::default(), rounds: 3, charts };
        let text = report.markdown();
        assert!(text.contains("| at 1 | 10 (8..15) | — |"), "{text}");
        assert!(text.contains("a < b & c: exponent 1.000 ± 0.000 (R² 1.000)"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        report.write(folder.path()).unwrap();
        assert!(folder.path().join("bench-scaling-example.svg").is_file());
        let json = std::fs::read(folder.path().join("bench-scaling.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["charts"][0]["lines"][0]["points"][2]["y"]["median"], 1000.0);
    }
}
