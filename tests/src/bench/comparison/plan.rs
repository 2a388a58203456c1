//! Which rows, in which order, and whether again.

use std::time::Duration;

use super::figures::Figures;
use super::row::Row;
use super::system::System;

/// Rounds of a row that differ by more are not enough.
const STEADY_FACTOR: f64 = 1.3;
/// Rounds of a row beyond those that were asked for.
pub(super) const FURTHER_ROUNDS_LIMIT: usize = 2;

/// All rows of a round that has to have `wanted`, with those whose files they need, in order.
pub(super) fn steps(wanted: &[Row]) -> Vec<Row> {
    let mut needed = wanted.to_vec();
    // What is needed lies before, so one way back through the order finds all of it.
    for row in Row::all().iter().rev() {
        if needed.contains(row) {
            needed.extend(row.needs());
        }
    }
    Row::all().iter().copied().filter(|row| needed.contains(row)).collect()
}

/// The systems in the order of a round, so that none always runs on the machine that another left behind.
pub(super) fn order(systems: &[System], round: usize) -> Vec<System> {
    let mut order = systems.to_vec();
    if !order.is_empty() {
        order.rotate_left(round % systems.len());
    }
    order
}

/// Rows whose rounds differ too much on any of the systems.
pub(super) fn unsteady(wanted: &[Row], systems: &[System], figures: &Figures) -> Vec<Row> {
    let differs = |row: Row| {
        // What memory does is a bound of the others' figures.
        let compared = systems.iter().filter(|system| **system != System::Memory);
        let spreads = compared.filter_map(|system| figures.spread(*system, row));
        spreads.into_iter().any(|spread| spread.factor() > STEADY_FACTOR)
    };
    wanted.iter().copied().filter(|row| !row.is_once() && differs(*row)).collect()
}

/// Whether a round of so many steps can be expected to end in the time that is left.
pub(super) fn fits(steps: usize, longest_round: Duration, left: Duration) -> bool {
    let share = u32::try_from(steps).unwrap_or(u32::MAX);
    let all = u32::try_from(Row::all().len()).unwrap_or(u32::MAX);
    longest_round.saturating_mul(share) / all <= left
}

#[cfg(test)]
mod tests {
    use super::{fits, order, steps, unsteady};
    use crate::bench::comparison::figures::{Figure, Figures};
    use crate::bench::comparison::row::Row;
    use crate::bench::comparison::system::System;
    use std::time::Duration;

    #[test]
    fn a_row_brings_what_it_needs() {
        assert_eq!(steps(&[Row::ReadWarm]), [Row::WriteSynced, Row::ReadCold, Row::ReadWarm]);
        assert_eq!(steps(&[Row::Delete, Row::Write]), [Row::Write, Row::Create, Row::Delete]);
        assert_eq!(steps(Row::all()), Row::all());
        assert!(steps(&[]).is_empty());
    }

    #[test]
    fn each_system_comes_first_once() {
        let systems = [System::Disk, System::Cairn, System::Gluster];
        let firsts: Vec<System> = (0..4).map(|round| order(&systems, round)[0]).collect();
        assert_eq!(firsts, [System::Disk, System::Cairn, System::Gluster, System::Disk]);
        assert!(order(&[], 3).is_empty());
    }

    #[test]
    fn rows_that_differ_on_one_system_are_unsteady() {
        let mut figures = Figures::default();
        for (round, (steady, shaky)) in [(100.0, 100.0), (125.0, 131.0)].into_iter().enumerate() {
            figures.add(Figure::of_value(Row::ReadCold, System::Cairn, round, steady));
            figures.add(Figure::of_value(Row::ReadWarm, System::Cairn, round, steady));
            figures.add(Figure::of_value(Row::ReadWarm, System::Disk, round, shaky));
            figures.add(Figure::of_value(Row::WriteHuge, System::Disk, round, shaky));
        }
        let systems = [System::Disk, System::Cairn];
        assert_eq!(unsteady(Row::all(), &systems, &figures), [Row::ReadWarm]);
        assert!(unsteady(&[Row::ReadCold], &systems, &figures).is_empty());
    }

    #[test]
    fn a_round_that_would_be_late_is_not_begun() {
        let (all, minute) = (Row::all().len(), Duration::from_mins(1));
        assert!(fits(all, minute, minute));
        assert!(!fits(all, minute, minute / 2));
        assert!(fits(all / 2, minute, minute / 2));
    }
}
