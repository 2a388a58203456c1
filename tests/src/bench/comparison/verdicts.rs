//! The table of targets, each with what bounds it.

use super::figures::{Cost, Figures};
use super::sync_proof::SyncProofs;
use super::system::System;
use super::table_text::{add, number};
use super::targets::{Target, Verdict};

/// A line for each target: what was found, how many processors were at work meanwhile, and what would be found of a mount with
/// nothing behind it and of changes that are only synced.
pub(super) fn table(
    targets: &[Target],
    systems: &[System],
    figures: &Figures,
    proofs: &SyncProofs,
    sync_limit: Option<f64>,
) -> String {
    let mut text =
        "| row | at least, at most | found | verdict | processors at work | found of memory | found of syncs |\n\
                    |---|---|---:|---|---:|---:|---:|"
            .to_owned();
    for target in targets {
        let (found, verdict) = match target.judge(systems, figures, proofs) {
            Verdict::Reached(found) => (number(found), "reached"),
            Verdict::Missed(found) => (number(found), "**missed**"),
            Verdict::Void => ("—".to_owned(), "void: no sync shown"),
            Verdict::Unmeasured => ("—".to_owned(), "not measured"),
        };
        let row = target.row;
        let busy = figures.cost(System::Cairn, row, Cost::Busy).map(|spread| spread.median);
        let ceiling = target.found(System::Memory, systems, figures, proofs);
        let synced = sync_limit.filter(|_| row.commits_one_by_one()).and_then(|limit| target.found_of(limit, figures));
        let bounds = [busy, ceiling, synced].map(|found| found.map_or_else(|| "—".to_owned(), number)).join(" | ");
        add(&mut text, &format!("\n| {} | {} | {found} | {verdict} | {bounds} |", row.name(), target.text()));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use crate::bench::comparison::costs::Costs;
    use crate::bench::comparison::figures::{Figure, Figures};
    use crate::bench::comparison::row::Row;
    use crate::bench::comparison::sync_proof::SyncProofs;
    use crate::bench::comparison::system::System;
    use crate::bench::comparison::targets::TARGETS;

    #[test]
    fn a_target_that_no_mount_can_reach_shows_it() {
        let systems = [System::Disk, System::Memory, System::Cairn];
        let mut figures = Figures::default();
        for (system, value) in systems.into_iter().zip([20.0, 10.0, 8.0]) {
            let costs = Costs { processor_s: 1.5, ..Costs::default() };
            figures.add(Figure { costs, ..Figure::of_value(Row::ReadWarm, system, 0, value) });
        }
        let targets = TARGETS.into_iter().filter(|target| target.row == Row::ReadWarm).collect::<Vec<_>>();
        let text = table(&targets, &systems, &figures, &SyncProofs::default(), Some(30.0));
        assert!(text.ends_with("| read warm | ≥ 0.9x disk | 0.40 | **missed** | 1.50 | 0.50 | — |\n"), "{text}");
    }

    #[test]
    fn a_row_of_single_changes_shows_what_syncs_alone_would_do() {
        let systems = [System::Cairn, System::MooseFs];
        let mut figures = Figures::default();
        for (system, value) in systems.into_iter().zip([8.0, 20.0]) {
            figures.add(Figure::of_value(Row::DeleteThreads, system, 0, value));
        }
        let targets = TARGETS.into_iter().filter(|target| target.row == Row::DeleteThreads).collect::<Vec<_>>();
        let text = table(&targets, &systems, &figures, &SyncProofs::default(), Some(30.0));
        assert!(text.ends_with("| ≥ 2x moosefs | 0.40 | **missed** | 0.00 | — | 1.50 |\n"), "{text}");
    }
}
