//! The table of a comparison, for people and for programs.

use std::io;
use std::path::Path;

use super::amount::Amount;
use super::figures::{Cost, Figures};
use super::machine::Machine;
use super::plot;
use super::row::{Row, Unit};
use super::sync_proof::SyncProofs;
use super::system::System;
use super::table_text::{add, number, ranged};
use super::targets::{TARGETS, Target};
use super::verdicts;
use crate::bench::output;

/// Figures of all rounds, and what was compared.
#[derive(Debug)]
pub struct Report {
    pub(super) figures: Figures,
    pub(super) systems: Vec<System>,
    pub(super) rows: Vec<Row>,
    pub(super) amount: Amount,
    pub(super) proofs: SyncProofs,
    /// What a majority of three can sync, in changes a second, one after the other.
    pub(super) sync_limit: Option<f64>,
    pub(super) machine: Machine,
}

impl Report {
    /// Everything, for people.
    #[must_use]
    pub fn markdown(&self) -> String {
        format!("{}\n{}\n{}\n{}", self.head(), self.speeds(), self.verdicts(), self.costs())
    }

    fn head(&self) -> String {
        let Amount { big_mib, huge_mib, stream_mib, small_files, row_limit, huge_limit, .. } = self.amount;
        let mut text = format!(
            "{}\n\nMedian (lowest..highest) of the rounds. A row ends at its size or after {} s: big files have {big_mib} MiB, each of \
             4 streams {stream_mib} MiB, the huge one {huge_mib} MiB or what is written in {} s, sets {small_files} files of 4 KiB. \
             Memory is a mount by FUSE with nothing behind it, which no mount can surpass. The better peer is the one with the better median, of a synced row among those that are seen to sync; a ratio is the \
             median of those of the rounds.\n",
            self.machine.line(),
            row_limit.as_secs(),
            huge_limit.as_secs(),
        );
        for system in &self.systems {
            let seen: Vec<String> =
                self.proofs.of(*system).map(|proof| format!("{} KiB: {proof}", proof.bytes >> 10)).collect();
            if !seen.is_empty() {
                add(&mut text, &format!("\nSyncs of {system} between write and answer: {}.", seen.join("; ")));
            }
        }
        if let Some(limit) = self.sync_limit {
            let limit = number(limit);
            add(
                &mut text,
                &format!(
                    "\nThree logs, each change synced in a majority of them before the next: {limit} changes a second."
                ),
            );
        }
        text.push('\n');
        text
    }

    fn speeds(&self) -> String {
        let heads: Vec<String> = self.systems.iter().map(System::to_string).collect();
        let mut text = format!(
            "| row | unit | {} | cairn / disk | cairn / better peer |\n|---|---|{}",
            heads.join(" | "),
            "---:|".repeat(self.systems.len() + 2)
        );
        for row in &self.rows {
            let cells = self.systems.iter().map(|system| self.speed(*system, *row));
            let ratios = [Some(System::Disk), self.figures.better_peer(&self.systems, *row, &self.proofs)];
            let ratios = ratios.into_iter().map(|other| self.ratio(other, *row));
            let cells: Vec<String> = cells.chain(ratios).collect();
            add(&mut text, &format!("\n| {} | {} | {} |", row.name(), row.unit().name(), cells.join(" | ")));
        }
        text.push('\n');
        text
    }

    fn speed(&self, system: System, row: Row) -> String {
        match self.figures.spread(system, row) {
            Some(spread) => {
                let shown = row.synced_file_bytes().is_none_or(|bytes| self.proofs.hold(system, bytes));
                format!("{}{}", ranged(spread), if shown { "" } else { " (no sync shown)" })
            }
            None if row == Row::ReadTwoLost && system == System::Disk => "— (has no nodes)".to_owned(),
            None => "—".to_owned(),
        }
    }

    fn ratio(&self, other: Option<System>, row: Row) -> String {
        let ratio = other.and_then(|other| self.figures.ratio((System::Cairn, row), (other, row)));
        ratio.map_or_else(|| "—".to_owned(), ranged)
    }

    fn verdicts(&self) -> String {
        let targets: Vec<Target> = self.targets_of_rows().collect();
        verdicts::table(&targets, &self.systems, &self.figures, &self.proofs, self.sync_limit)
    }

    fn targets_of_rows(&self) -> impl Iterator<Item = Target> {
        TARGETS.into_iter().filter(|target| self.rows.contains(&target.row))
    }

    fn costs(&self) -> String {
        let heads: Vec<String> = self.systems.iter().map(System::to_string).collect();
        let mut text = format!(
            "Medians of: processor seconds of all processes for each GiB (rows in MiB/s) or 1,000 files / processors at work / memory \
             of the daemons at its peak, MiB / bytes written to disk for each byte of the user.\n\n| row | {} |\n|---|{}",
            heads.join(" | "),
            "---:|".repeat(heads.len())
        );
        for row in &self.rows {
            let cells: Vec<String> = self.systems.iter().map(|system| self.cost_cell(*system, *row)).collect();
            add(&mut text, &format!("\n| {} | {} |", row.name(), cells.join(" | ")));
        }
        text.push('\n');
        text
    }

    fn cost_cell(&self, system: System, row: Row) -> String {
        let cost =
            |cost| self.figures.cost(system, row, cost).map_or_else(|| "—".to_owned(), |spread| number(spread.median));
        [Cost::Processor, Cost::Busy, Cost::Memory, Cost::Written].map(cost).join(" / ")
    }

    /// Every figure of every round, with what it was judged by.
    #[must_use]
    pub fn json(&self) -> String {
        let judge = |target: Target| {
            let verdict = target.judge(&self.systems, &self.figures, &self.proofs);
            serde_json::json!({ "row": target.row, "target": target.text(), "verdict": verdict })
        };
        let document = serde_json::json!({
            "machine": self.machine,
            "amount": self.amount,
            "systems": self.systems,
            "rows": self.rows,
            "syncs": self.proofs,
            "sync_limit": self.sync_limit,
            "targets": self.targets_of_rows().map(judge).collect::<Vec<_>>(),
            "figures": self.figures,
        });
        serde_json::to_string_pretty(&document).expect("figures are JSON")
    }

    /// How many times the better peer Cairn does, as a picture; where less is better, how many times less it takes.
    #[must_use]
    pub fn svg(&self) -> String {
        let bar = |row: &Row| {
            let peer = self.figures.better_peer(&self.systems, *row, &self.proofs)?;
            let ratio = match row.unit() {
                Unit::Stored => self.figures.ratio((peer, *row), (System::Cairn, *row)),
                _ => self.figures.ratio((System::Cairn, *row), (peer, *row)),
            };
            let target =
                self.targets_of_rows().filter(|target| target.row == *row).find_map(|target| target.times(peer));
            Some(plot::Bar { label: format!("{} ({peer})", row.name()), ratio: ratio?, target })
        };
        plot::bars(&self.rows.iter().filter_map(bar).collect::<Vec<_>>())
    }

    /// Writes `bench.md`, `bench.json` and `bench.svg` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench", &self.markdown(), &self.json())?;
        std::fs::write(folder.join("bench.svg"), self.svg())
    }
}

#[cfg(test)]
mod tests {
    use super::Report;
    use crate::bench::comparison::amount::Amount;
    use crate::bench::comparison::figures::{Figure, Figures};
    use crate::bench::comparison::machine::Machine;
    use crate::bench::comparison::row::Row;
    use crate::bench::comparison::sync_proof::{SyncProof, SyncProofs};
    use crate::bench::comparison::system::System;

    fn report(syncing: bool) -> Report {
        let (mut figures, mut proofs) = (Figures::default(), SyncProofs::default());
        for row in [Row::WriteSynced, Row::ReadCold] {
            for (round, values) in
                [[8.0, 10.0, 1.0, 2.0], [8.0, 20.0, 1.0, 2.0], [8.0, 40.0, 1.0, 4.0]].iter().enumerate()
            {
                let systems = [System::Disk, System::Cairn, System::Gluster, System::MooseFs];
                for (system, value) in systems.into_iter().zip(values) {
                    figures.add(Figure::of_value(row, system, round, *value));
                }
            }
        }
        let masters = if syncing { (2, 3) } else { (1, 3) };
        proofs.add(SyncProof { system: System::Cairn, bytes: 8 << 20, masters, nodes: (6, 6), writer: true });
        proofs.add(SyncProof { system: System::MooseFs, bytes: 8 << 20, masters: (1, 1), nodes: (3, 3), writer: true });
        Report {
            figures,
            systems: vec![System::Disk, System::Cairn, System::Gluster, System::MooseFs],
            rows: vec![Row::WriteSynced, Row::ReadCold, Row::ReadTwoLost],
            amount: Amount::QUICK,
            proofs,
            sync_limit: Some(3000.0),
            machine: Machine::default(),
        }
    }

    fn line<'text>(text: &'text str, start: &str) -> &'text str {
        text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {text}"))
    }

    #[test]
    fn each_row_shows_medians_ranges_and_ratios() {
        let text = report(true).speeds();
        assert_eq!(
            line(&text, "| read cold |"),
            "| read cold | MiB/s | 8.00 (8.00..8.00) | 20.0 (10.0..40.0) | 1.00 (1.00..1.00) | 2.00 (2.00..4.00) | \
             2.50 (1.25..5.00) | 10.0 (5.00..10.0) |"
        );
        let missing = line(&text, "| read cold, two nodes dead |");
        assert_eq!(missing, "| read cold, two nodes dead | MiB/s | — (has no nodes) | — | — | — | — | — |");
    }

    #[test]
    fn targets_are_judged_and_void_without_syncs() {
        let start = "| write sequential, synced | ≥ 5x the better peer |";
        assert!(line(&report(true).verdicts(), start).ends_with("| 10.0 | reached | 0.00 | — | — |"));
        assert!(line(&report(false).verdicts(), start).ends_with("| — | void: no sync shown | 0.00 | — | — |"));
        let head = report(false).head();
        assert!(
            head.contains("masters 1 of 3, nodes 6 of 6 (NOT SHOWN)")
                && head.contains("the next: 3000 changes a second.")
        );
        assert!(line(&report(false).speeds(), "| write sequential, synced |").contains("40.0) (no sync shown)"));
        assert!(
            line(&report(true).verdicts(), "| read cold, two nodes dead |")
                .ends_with("| — | not measured | — | — | — |")
        );
    }

    #[test]
    fn costs_stand_beside() {
        let text = report(true).costs();
        assert_eq!(line(&text, "| read cold |").matches("0.00 / 0.00 / — / —").count(), 4, "{text}");
    }

    #[test]
    fn programs_get_every_round() {
        let document: serde_json::Value = serde_json::from_str(&report(true).json()).unwrap();
        assert_eq!(document["figures"].as_array().unwrap().len(), 24);
        assert_eq!(document["figures"][0]["row"], "write-synced");
        assert_eq!(document["targets"][0]["verdict"]["verdict"], "reached");
    }

    #[test]
    fn the_picture_has_a_bar_for_each_row_that_has_a_ratio() {
        let svg = report(true).svg();
        assert_eq!(svg.matches("class=\"bar\"").count(), 2);
        assert!(svg.contains("write sequential, synced (moosefs)"));
    }
}
