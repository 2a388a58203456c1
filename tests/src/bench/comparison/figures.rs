//! What was measured.

use std::time::Duration;

use serde::Serialize;

use super::costs::Costs;
use super::row::{Row, Unit};
use super::sync_proof::SyncProofs;
use super::system::System;
use crate::bench::spread::Spread;

/// One row of one system and round.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    /// What was measured.
    pub row: Row,
    /// Of which system.
    pub system: System,
    /// In which round, counted from 0.
    pub round: usize,
    /// In the unit of the row.
    pub value: f64,
    /// How long it took.
    pub seconds: f64,
    /// GiB of the user, or thousands of files.
    pub amount: f64,
    /// What it cost.
    pub costs: Costs,
}

impl Figure {
    /// The figure of so many bytes or files done in `took`.
    pub(super) fn new(row: Row, system: System, round: usize, done: u64, took: Duration, costs: Costs) -> Self {
        let (done, seconds) = (count(done), took.as_secs_f64());
        let (value, amount) = match row.unit() {
            Unit::Mib => (mib(done) / seconds, mib(done) / 1024.0),
            Unit::Files | Unit::Stored => (done / seconds, done / 1000.0),
        };
        Self { row, system, round, value, seconds, amount, costs }
    }

    #[cfg(test)]
    pub(super) fn of_value(row: Row, system: System, round: usize, value: f64) -> Self {
        Self { row, system, round, value, seconds: 1.0, amount: 1.0, costs: Costs::default() }
    }

    /// Processor seconds for each GiB, or for each thousand files; of nothing, none.
    pub(super) fn processor(&self) -> Option<f64> {
        (self.amount > 0.0).then(|| self.costs.processor_s / self.amount)
    }
}

/// One that was measured beside a row's own value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// Processor seconds of all processes, for each GiB or thousand files.
    Processor,
    /// Memory of all daemons at its peak, in MiB.
    Memory,
    /// Bytes written to disk for each byte of the user.
    Written,
    /// Processors that were at work throughout.
    Busy,
}

/// All rounds of all systems.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(transparent)]
pub struct Figures(Vec<Figure>);

impl Figures {
    pub(super) fn add(&mut self, figure: Figure) {
        self.0.push(figure);
    }

    fn of(&self, system: System, row: Row) -> impl Iterator<Item = &Figure> {
        self.0.iter().filter(move |figure| figure.system == system && figure.row == row)
    }

    /// A row of a system over its rounds.
    pub fn spread(&self, system: System, row: Row) -> Option<Spread> {
        Spread::of(&self.of(system, row).map(|figure| figure.value).collect::<Vec<_>>())
    }

    /// A cost of a row of a system over its rounds.
    pub(super) fn cost(&self, system: System, row: Row, cost: Cost) -> Option<Spread> {
        let values = self.of(system, row).filter_map(|figure| match cost {
            Cost::Processor => figure.processor(),
            Cost::Memory => Some(figure.costs.peak_mib).filter(|mib| *mib > 0.0),
            Cost::Written => figure.costs.written_per_byte,
            Cost::Busy => Some(figure.costs.processor_s / figure.seconds).filter(|busy| busy.is_finite()),
        });
        Spread::of(&values.collect::<Vec<_>>())
    }

    /// How many times as much one row of a system is as another of another, in the rounds that have both.
    pub(super) fn ratio(&self, over: (System, Row), under: (System, Row)) -> Option<Spread> {
        let pairs = self.of(over.0, over.1).flat_map(|one| {
            let same_round = self.of(under.0, under.1).filter(|other| other.round == one.round && other.value > 0.0);
            same_round.map(|other| one.value / other.value)
        });
        Spread::of(&pairs.collect::<Vec<_>>())
    }

    /// The peer that does best in a row. A row that promises syncs is void for a peer whose trace does not show them.
    pub(super) fn better_peer(&self, systems: &[System], row: Row, proofs: &SyncProofs) -> Option<System> {
        let counts = |peer: &System| row.synced_file_bytes().is_none_or(|bytes| proofs.hold(*peer, bytes));
        let peers = systems.iter().copied().filter(|system| system.is_peer()).filter(counts);
        let measured = peers.filter_map(|peer| Some((peer, self.spread(peer, row)?.median)));
        let better = |one: &f64, other: &f64| match row.unit() {
            Unit::Stored => other.total_cmp(one),
            _ => one.total_cmp(other),
        };
        measured.max_by(|(_, one), (_, other)| better(one, other)).map(|(peer, _)| peer)
    }
}

/// Exact for what is measured here.
#[allow(clippy::cast_precision_loss, reason = "bytes and files of one row are far below 2^52")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::{Cost, Figure, Figures};
    use crate::bench::comparison::costs::Costs;
    use crate::bench::comparison::row::Row;
    use crate::bench::comparison::sync_proof::{SyncProof, SyncProofs};
    use crate::bench::comparison::system::System;
    use std::time::Duration;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn bytes_count_in_mib_and_costs_by_the_gib() {
        let costs = Costs { processor_s: 3.0, peak_mib: 7.0, written_per_byte: Some(1.5) };
        let figure = Figure::new(Row::WriteSynced, System::Cairn, 0, 512 << 20, Duration::from_secs(2), costs);
        assert!(close(figure.value, 256.0) && close(figure.amount, 0.5), "{figure:?}");
        let mut figures = Figures::default();
        figures.add(figure);
        let cost = |cost| figures.cost(System::Cairn, Row::WriteSynced, cost).unwrap().median;
        assert!(close(cost(Cost::Processor), 6.0) && close(cost(Cost::Memory), 7.0) && close(cost(Cost::Written), 1.5));
    }

    #[test]
    fn files_count_by_the_thousand() {
        let costs = Costs { processor_s: 3.0, peak_mib: 0.0, written_per_byte: None };
        let figure = Figure::new(Row::ListStat, System::Disk, 0, 3000, Duration::from_secs(2), costs);
        assert!(close(figure.value, 1500.0) && close(figure.processor().unwrap(), 1.0), "{figure:?}");
        let mut figures = Figures::default();
        figures.add(figure);
        assert_eq!(figures.cost(System::Disk, Row::ListStat, Cost::Memory), None);
    }

    #[test]
    fn ratios_are_of_rounds_that_both_have() {
        let mut figures = Figures::default();
        for (round, ours, theirs) in [(0, 10.0, 5.0), (1, 30.0, 10.0), (2, 40.0, 10.0)] {
            figures.add(Figure::of_value(Row::ReadCold, System::Cairn, round, ours));
            figures.add(Figure::of_value(Row::ReadCold, System::Disk, round, theirs));
        }
        figures.add(Figure::of_value(Row::ReadCold, System::Cairn, 3, 1000.0));
        let ratio = figures.ratio((System::Cairn, Row::ReadCold), (System::Disk, Row::ReadCold)).unwrap();
        assert!(close(ratio.median, 3.0) && close(ratio.low, 2.0) && close(ratio.high, 4.0), "{ratio:?}");
        assert_eq!(figures.ratio((System::Cairn, Row::ReadCold), (System::Gluster, Row::ReadCold)), None);
    }

    #[test]
    fn the_better_peer_is_the_faster_one_or_the_one_that_takes_less_space() {
        let (systems, mut figures) = ([System::Disk, System::Gluster, System::MooseFs], Figures::default());
        for (system, value) in [(System::Disk, 99.0), (System::Gluster, 1.6), (System::MooseFs, 3.2)] {
            figures.add(Figure::of_value(Row::ReadCold, system, 0, value));
            figures.add(Figure::of_value(Row::MediumStored, system, 0, value));
        }
        let proofs = SyncProofs::default();
        assert_eq!(figures.better_peer(&systems, Row::ReadCold, &proofs), Some(System::MooseFs));
        assert_eq!(figures.better_peer(&systems, Row::MediumStored, &proofs), Some(System::Gluster));
        assert_eq!(figures.better_peer(&[System::Disk], Row::ReadCold, &proofs), None);
    }

    #[test]
    fn a_peer_that_is_not_seen_to_sync_is_not_the_better_one_of_a_synced_row() {
        let (systems, mut figures) = ([System::Gluster, System::MooseFs], Figures::default());
        for (system, value) in [(System::Gluster, 1.6), (System::MooseFs, 3.2)] {
            figures.add(Figure::of_value(Row::WriteSynced, system, 0, value));
            figures.add(Figure::of_value(Row::Write, system, 0, value));
        }
        let proof = |system, nodes| SyncProof { system, bytes: 8 << 20, masters: (1, 1), nodes, writer: true };
        let mut proofs = SyncProofs::default();
        proofs.add(proof(System::MooseFs, (0, 3)));
        assert_eq!(figures.better_peer(&systems, Row::WriteSynced, &proofs), None);
        proofs.add(proof(System::Gluster, (6, 6)));
        assert_eq!(figures.better_peer(&systems, Row::WriteSynced, &proofs), Some(System::Gluster));
        assert_eq!(figures.better_peer(&systems, Row::Write, &proofs), Some(System::MooseFs));
    }
}
