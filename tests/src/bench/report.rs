//! The table of a comparison, for people and for programs.

use std::fmt::Write;
use std::io;
use std::path::Path;

use super::figures::{Figures, ROWS};
use super::output;
use super::work::Amount;

/// The subject that the others are measured against.
const SUBJECT: &str = "cairn";

/// Figures of all rounds, and what was compared.
#[derive(Debug)]
pub struct Report {
    figures: Figures,
    subjects: Vec<&'static str>,
    amount: Amount,
    rounds: usize,
}

impl Report {
    pub(super) fn new(figures: Figures, subjects: Vec<&'static str>, amount: Amount, rounds: usize) -> Self {
        Self { figures, subjects, amount, rounds }
    }

    /// Medians with lowest and highest round, and how many times each other subject Cairn does.
    #[must_use]
    pub fn markdown(&self) -> String {
        let others = || self.subjects.iter().filter(|subject| **subject != SUBJECT);
        let mut text = format!(
            "Median (lowest..highest) of {} rounds, {} MiB and {} files of 4 KiB; higher is better.\n\n| row | unit |",
            self.rounds, self.amount.mib, self.amount.files
        );
        let heads = self.subjects.iter().map(|subject| format!(" {subject} |"));
        let ratios = others().map(|subject| format!(" {SUBJECT} / {subject} |"));
        text.extend(heads.chain(ratios));
        text.push_str("\n|---|---|");
        text.push_str(&"---:|".repeat(self.subjects.len() + others().count()));
        for row in ROWS {
            let cells = self.subjects.iter().map(|subject| self.cell(subject, row));
            let ratios = others().map(|subject| self.ratio(subject, row));
            let cells: Vec<String> = cells.chain(ratios).collect();
            write!(text, "\n| {row} | {} | {} |", self.figures.unit(row), cells.join(" | "))
                .expect("a String takes all text");
        }
        text.push('\n');
        text
    }

    fn cell(&self, subject: &str, row: &str) -> String {
        match (self.figures.median(subject, row), self.figures.range(subject, row)) {
            (Some(median), Some((low, high))) => format!("{median:.1} ({low:.1}..{high:.1})"),
            _ => "-".to_owned(),
        }
    }

    fn ratio(&self, subject: &str, row: &str) -> String {
        match (self.figures.median(SUBJECT, row), self.figures.median(subject, row)) {
            (Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "-".to_owned(),
        }
    }

    /// Every figure of every round.
    #[must_use]
    pub fn json(&self) -> String {
        let document = serde_json::json!({
            "mib": self.amount.mib,
            "files": self.amount.files,
            "rounds": self.rounds,
            "subjects": self.subjects,
            "figures": self.figures,
        });
        serde_json::to_string_pretty(&document).expect("figures are JSON")
    }

    /// Writes `bench.md` and `bench.json` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench", &self.markdown(), &self.json())
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::bench::figures::{Figure, Figures};
    use crate::bench::work::Amount;
    use std::time::Duration;

    fn report() -> Report {
        let mut figures = Figures::default();
        for (subject, seconds) in [("cairn", 1), ("cairn", 2), ("cairn", 4), ("disk", 1)] {
            let figure = Figure::new("read cold", 8.0, "MiB/s", Duration::from_secs(seconds));
            figures.add(subject, vec![figure]);
        }
        Report::new(figures, vec!["cairn", "disk"], Amount { mib: 8, files: 1 }, 3)
    }

    #[test]
    fn each_row_shows_medians_ranges_and_ratios() {
        let text = report().markdown();
        let row = text.lines().find(|line| line.contains("read cold |")).unwrap();
        assert_eq!(row, "| read cold | MiB/s | 4.0 (2.0..8.0) | 8.0 (8.0..8.0) | 0.50 |");
        let missing = text.lines().find(|line| line.contains("read warm")).unwrap();
        assert_eq!(missing, "| read warm |  | - | - | - |");
    }

    #[test]
    fn programs_get_every_round() {
        let document: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!(document["figures"]["rounds"]["cairn"].as_array().unwrap().len(), 3);
    }
}
