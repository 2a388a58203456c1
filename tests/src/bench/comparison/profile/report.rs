use std::fs;
use std::io;
use std::path::Path;

use inferno::flamegraph::{self, Options};
use serde_json::{Value, json};

use super::super::figures::{Figure, count};
use super::super::row::Unit;
use super::super::table_text::{add, number};
use super::kind::Kind;
use super::stacks::Stacks;
use crate::bench::output;

/// Beginnings of the names of who worked, and what to call them.
const PARTS: [(&str, &str); 4] = [("program", "program"), ("mount", "mount"), ("master", "masters"), ("node", "nodes")];

/// What was sampled.
#[derive(Debug)]
pub struct ProfileReport {
    pub(super) rows: Vec<(Figure, Stacks)>,
    /// How long one thread takes to copy a GiB in memory.
    pub(super) copy_s_a_gib: f64,
}

impl ProfileReport {
    /// Two tables, for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        format!("{}\n{}", self.by_part(), self.by_kind())
    }

    /// Writes `bench-profile.md`, `bench-profile.json`, and a flame graph of each row into a folder.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let json = serde_json::to_string_pretty(&self.json())?;
        output::write(folder, "bench-profile", &self.markdown(), &json)?;
        for (figure, stacks) in &self.rows {
            let name = json!(figure.row);
            let file = folder.join(format!("flames-{}.svg", name.as_str().unwrap_or_default()));
            draw(figure, stacks, &file)?;
        }
        Ok(())
    }

    fn by_part(&self) -> String {
        let heads: Vec<&str> = PARTS.iter().map(|(_, name)| *name).collect();
        let mut text = format!(
            "Processor seconds of all these processes for each GiB, or for each 1,000 files, and who spent them, in percent. \
             Samples that found them at work, and others: of the kernel's own threads and of other programs.\n\n\
             | row | seconds | {} | samples | others |\n|---|---:|{}",
            heads.join(" | "),
            "---:|".repeat(heads.len() + 2)
        );
        for (figure, stacks) in &self.rows {
            let cells = PARTS.iter().map(|(part, _)| percent(stacks.samples_of(part), stacks.samples()));
            let cells: Vec<String> = cells
                .chain([stacks.samples(), stacks.samples_elsewhere()].map(|samples| samples.to_string()))
                .collect();
            let seconds = figure.processor().map_or_else(|| "—".to_owned(), number);
            add(&mut text, &format!("\n| {} | {seconds} | {} |", figure.row.name(), cells.join(" | ")));
        }
        text.push('\n');
        text
    }

    fn by_kind(&self) -> String {
        let heads = Kind::ALL.map(Kind::name);
        let mut text = format!(
            "What they did, in percent. Copies: the time in copying, for each byte of the user, in copies of a byte from memory to \
             memory by one thread (here {} s for each GiB); bytes that a cache still has are copied in less.\n\n\
             | row | {} | copies |\n|---|{}",
            number(self.copy_s_a_gib),
            heads.join(" | "),
            "---:|".repeat(heads.len() + 1)
        );
        for (figure, stacks) in &self.rows {
            let kinds = stacks.by_kind();
            let of = |kind: &Kind| percent(kinds.get(kind).copied().unwrap_or(0), stacks.samples());
            let copies = self.copies(figure, stacks).map_or_else(|| "—".to_owned(), number);
            let cells: Vec<String> = Kind::ALL.iter().map(of).chain([copies]).collect();
            add(&mut text, &format!("\n| {} | {} |", figure.row.name(), cells.join(" | ")));
        }
        text.push('\n');
        text
    }

    /// How often a byte of the user would have been copied in the time that went into copying.
    fn copies(&self, figure: &Figure, stacks: &Stacks) -> Option<f64> {
        let (copying, samples) = (*stacks.by_kind().get(&Kind::Copying)?, stacks.samples());
        if figure.row.unit() != Unit::Mib || samples == 0 {
            return None;
        }
        let share = count(copying) / count(samples);
        figure.processor().map(|seconds| seconds * share / self.copy_s_a_gib)
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(figure, stacks)| {
            let kinds = stacks.by_kind().into_iter().map(|(kind, samples)| (kind.name().to_owned(), json!(samples)));
            let parts = PARTS.iter().map(|(part, name)| ((*name).to_owned(), json!(stacks.samples_of(part))));
            json!({
                "figure": figure,
                "samples": stacks.samples(),
                "others": stacks.samples_elsewhere(),
                "kinds": kinds.collect::<serde_json::Map<_, _>>(),
                "parts": parts.collect::<serde_json::Map<_, _>>(),
                "copies": self.copies(figure, stacks),
            })
        });
        json!({ "copy_s_a_gib": self.copy_s_a_gib, "rows": rows.collect::<Vec<_>>() })
    }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "—".to_owned() } else { format!("{:.0}", 100.0 * count(part) / count(whole)) }
}

fn draw(figure: &Figure, stacks: &Stacks, file: &Path) -> io::Result<()> {
    let lines = stacks.lines();
    if lines.is_empty() {
        return Ok(());
    }
    let mut options = Options::default();
    figure.row.name().clone_into(&mut options.title);
    "samples".clone_into(&mut options.count_name);
    options.deterministic = true;
    flamegraph::from_lines(&mut options, lines.lines(), fs::File::create(file)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::super::row::Row;
    use super::super::super::system::System;
    use super::{Figure, ProfileReport, Stacks};

    fn report() -> ProfileReport {
        let mut figure = Figure::of_value(Row::ReadCold, System::Cairn, 0, 600.0);
        figure.costs.processor_s = 3.0;
        let names = BTreeMap::from([(1, "node-1".to_owned()), (2, "mount".to_owned())]);
        let stacks = Stacks::parse("cairn-1;main;memcpy 10\ncairn-2;main;h2::poll 30\nother-9;worker 10\n", &names);
        ProfileReport { rows: vec![(figure, stacks)], copy_s_a_gib: 0.25 }
    }

    #[test]
    fn shares_and_copies_are_told_for_each_row() {
        let text = report().markdown();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("| read cold |")).collect();
        assert_eq!(
            lines,
            [
                "| read cold | 3.00 | 0 | 75 | 0 | 25 | 40 | 10 |",
                "| read cold | 25 | 0 | 0 | 0 | 0 | 0 | 0 | 0 | 75 | 0 | 0 | 0 | 0 | 3.00 |",
            ]
        );
    }

    #[test]
    fn each_row_has_a_flame_graph() {
        let folder = tempfile::tempdir().unwrap();
        report().write(folder.path()).unwrap();
        let drawn = std::fs::read_to_string(folder.path().join("flames-read-cold.svg")).unwrap();
        assert!(drawn.contains("<svg") && drawn.contains("h2::poll"), "{drawn}");
        assert!(folder.path().join("bench-profile.md").is_file() && folder.path().join("bench-profile.json").is_file());
    }
}
