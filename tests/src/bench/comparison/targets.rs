//! What the figures have to be.

use serde::Serialize;

use super::figures::{Cost, Figures};
use super::row::Row;
use super::sync_proof::SyncProofs;
use super::system::System;

/// One thing that has to be so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target {
    pub(super) row: Row,
    measure: Measure,
    bound: f64,
}

/// What of a row is compared with what.
#[derive(Debug, Clone, Copy)]
enum Measure {
    /// At least so many times the better peer.
    BetterPeer,
    /// At least so many times this system.
    Times(System),
    /// At least so many times another row of Cairn.
    OwnRow(Row),
    /// At most so many times the processor time of this system.
    Processor(System),
    /// At most so many bytes to disk for each of the user.
    Written,
    /// The figure itself at most so much.
    AtMost,
}

/// Whether a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "verdict", content = "found", rename_all = "lowercase")]
pub enum Verdict {
    /// It is, with this.
    Reached(f64),
    /// It is not, with this.
    Missed(f64),
    /// No trace shows the syncs that the row promises.
    Void,
    /// What it takes was not measured.
    Unmeasured,
}

const fn target(row: Row, measure: Measure, bound: f64) -> Target {
    Target { row, measure, bound }
}

/// All of them.
pub(super) const TARGETS: [Target; 18] = [
    target(Row::MediumStored, Measure::AtMost, 1.9),
    target(Row::WriteSynced, Measure::BetterPeer, 5.0),
    target(Row::WriteSynced, Measure::Processor(System::Gluster), 1.0 / 3.0),
    target(Row::WriteSynced, Measure::Written, 1.6),
    target(Row::CreateSynced, Measure::Times(System::MooseFs), 2.0),
    target(Row::CreateSyncedThreads, Measure::Times(System::MooseFs), 4.0),
    target(Row::Delete, Measure::Times(System::MooseFs), 1.0),
    target(Row::DeleteThreads, Measure::Times(System::MooseFs), 2.0),
    target(Row::ReadCold, Measure::Times(System::Disk), 1.3),
    target(Row::ReadCold, Measure::Times(System::Gluster), 5.0),
    target(Row::ReadCold, Measure::BetterPeer, 1.0),
    target(Row::ReadCold, Measure::Processor(System::Gluster), 1.0 / 3.0),
    target(Row::ReadWarm, Measure::Times(System::Disk), 0.9),
    target(Row::ReadRandom, Measure::Times(System::MooseFs), 2.5),
    target(Row::ReadSmall, Measure::Times(System::MooseFs), 2.0),
    target(Row::ReadSmallThreads, Measure::Times(System::MooseFs), 2.0),
    target(Row::ListStat, Measure::Times(System::MooseFs), 4.0),
    target(Row::ReadTwoLost, Measure::OwnRow(Row::ReadCold), 0.75),
];

impl Target {
    /// For people.
    pub(super) fn text(self) -> String {
        let bound = self.bound;
        match self.measure {
            Measure::BetterPeer => format!("≥ {bound}x the better peer"),
            Measure::Times(system) => format!("≥ {bound}x {system}"),
            Measure::OwnRow(row) => format!("≥ {bound}x \"{}\"", row.name()),
            Measure::Processor(system) => format!("processor time ≤ {bound:.2}x {system}'s"),
            Measure::Written => format!("bytes to disk ≤ {bound} for each"),
            Measure::AtMost => format!("≤ {bound}"),
        }
    }

    /// How many times the figure of `peer` it asks for, if it asks that.
    pub(super) fn times(self, peer: System) -> Option<f64> {
        match self.measure {
            Measure::BetterPeer => Some(self.bound),
            Measure::Times(system) if system == peer => Some(self.bound),
            _ => None,
        }
    }

    /// Judges medians. A peer whose trace shows no syncs does less than it is asked, which can only make it faster: where a
    /// target names it, it stays what is measured against. Without Cairn's own syncs nothing is shown.
    pub(super) fn judge(self, systems: &[System], figures: &Figures, proofs: &SyncProofs) -> Verdict {
        let void = self.row.synced_file_bytes().is_some_and(|bytes| !proofs.hold(System::Cairn, bytes));
        match self.found(System::Cairn, systems, figures, proofs) {
            _ if void => Verdict::Void,
            None => Verdict::Unmeasured,
            Some(found) if self.allows(found) => Verdict::Reached(found),
            Some(found) => Verdict::Missed(found),
        }
    }

    fn allows(self, found: f64) -> bool {
        match self.measure {
            Measure::BetterPeer | Measure::Times(_) | Measure::OwnRow(_) => found >= self.bound,
            Measure::Processor(_) | Measure::Written | Measure::AtMost => found <= self.bound,
        }
    }

    /// What would be held against the bound if the row's figure were this one.
    pub(super) fn found_of(self, figure: f64, figures: &Figures) -> Option<f64> {
        let Measure::Times(system) = self.measure else { return None };
        figures.spread(system, self.row).map(|spread| figure / spread.median)
    }

    /// What of one of the systems is held against the bound.
    pub(super) fn found(
        self,
        judged: System,
        systems: &[System],
        figures: &Figures,
        proofs: &SyncProofs,
    ) -> Option<f64> {
        let ours = (judged, self.row);
        let against = |system| figures.ratio(ours, (system, self.row));
        let processor = |system| figures.cost(system, self.row, Cost::Processor);
        match self.measure {
            Measure::BetterPeer => against(figures.better_peer(systems, self.row, proofs)?).map(|spread| spread.median),
            Measure::Times(system) => against(system).map(|spread| spread.median),
            Measure::OwnRow(row) => figures.ratio(ours, (judged, row)).map(|spread| spread.median),
            Measure::Processor(system) => Some(processor(judged)?.median / processor(system)?.median),
            Measure::Written => figures.cost(judged, self.row, Cost::Written).map(|spread| spread.median),
            Measure::AtMost => figures.spread(judged, self.row).map(|spread| spread.median),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Measure, Target, Verdict, target};
    use crate::bench::comparison::costs::Costs;
    use crate::bench::comparison::figures::{Figure, Figures};
    use crate::bench::comparison::row::Row;
    use crate::bench::comparison::sync_proof::{SyncProof, SyncProofs};
    use crate::bench::comparison::system::System;

    const SYSTEMS: [System; 4] = [System::Disk, System::Cairn, System::Gluster, System::MooseFs];

    fn figures(row: Row, values: [f64; 4]) -> Figures {
        let mut figures = Figures::default();
        for (system, value) in SYSTEMS.into_iter().zip(values) {
            let costs = Costs { processor_s: value, peak_mib: 1.0, written_per_byte: Some(value) };
            figures.add(Figure { costs, ..Figure::of_value(row, system, 0, value) });
        }
        figures
    }

    fn proven() -> SyncProofs {
        let mut proofs = SyncProofs::default();
        for (system, bytes) in SYSTEMS.into_iter().flat_map(|system| [(system, 4096), (system, 1 << 20)]) {
            proofs.add(SyncProof { system, bytes, masters: (2, 3), nodes: (6, 6), writer: true });
        }
        proofs
    }

    fn verdict(target: Target, figures: &Figures, proofs: &SyncProofs) -> Verdict {
        target.judge(&SYSTEMS, figures, proofs)
    }

    #[test]
    fn the_better_peer_decides() {
        let write = target(Row::WriteSynced, Measure::BetterPeer, 5.0);
        let reached = verdict(write, &figures(Row::WriteSynced, [0.0, 50.0, 10.0, 5.0]), &proven());
        assert_eq!(reached, Verdict::Reached(5.0));
        let missed = verdict(write, &figures(Row::WriteSynced, [0.0, 50.0, 10.0, 20.0]), &proven());
        assert_eq!(missed, Verdict::Missed(2.5));
    }

    #[test]
    fn a_synced_row_without_a_trace_is_void_and_others_need_none() {
        let write = target(Row::WriteSynced, Measure::BetterPeer, 5.0);
        let values = [0.0, 50.0, 10.0, 5.0];
        assert_eq!(verdict(write, &figures(Row::WriteSynced, values), &SyncProofs::default()), Verdict::Void);
        let read = target(Row::ReadCold, Measure::BetterPeer, 5.0);
        assert_eq!(verdict(read, &figures(Row::ReadCold, values), &SyncProofs::default()), Verdict::Reached(5.0));
    }

    #[test]
    fn costs_have_to_be_small() {
        let processor = target(Row::ReadCold, Measure::Processor(System::Gluster), 0.5);
        let (cheap, dear) = ([0.0, 1.0, 2.0, 0.0], [0.0, 3.0, 2.0, 0.0]);
        assert_eq!(verdict(processor, &figures(Row::ReadCold, cheap), &proven()), Verdict::Reached(0.5));
        assert_eq!(verdict(processor, &figures(Row::ReadCold, dear), &proven()), Verdict::Missed(1.5));
        let written = target(Row::ReadCold, Measure::Written, 1.6);
        assert_eq!(verdict(written, &figures(Row::ReadCold, dear), &proven()), Verdict::Missed(3.0));
    }

    #[test]
    fn a_row_is_measured_against_another_of_the_same_system() {
        let mut both = figures(Row::ReadTwoLost, [0.0, 80.0, 0.0, 0.0]);
        let lost = target(Row::ReadTwoLost, Measure::OwnRow(Row::ReadCold), 0.75);
        assert_eq!(verdict(lost, &both, &proven()), Verdict::Unmeasured);
        both.add(Figure::of_value(Row::ReadCold, System::Cairn, 0, 100.0));
        assert_eq!(verdict(lost, &both, &proven()), Verdict::Reached(0.8));
    }
}
