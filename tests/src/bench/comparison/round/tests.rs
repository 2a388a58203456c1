use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{Pieces, Round, WorkError};
use crate::bench::comparison::amount::Amount;
use crate::bench::comparison::row::Row;
use crate::bench::comparison::subject::{Daemon, Subject, SubjectError};
use crate::bench::comparison::system::System;

/// A folder that damages a file instead of cooling anything.
struct Damaged {
    folder: PathBuf,
    victim: &'static str,
    two_nodes: bool,
}

impl Subject for Damaged {
    fn system(&self) -> System {
        System::Disk
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn daemons(&self) -> Result<Vec<Daemon>, SubjectError> {
        Ok(Vec::new())
    }

    fn make_cold(&mut self) -> Result<(), SubjectError> {
        let victim = self.folder.join(self.victim);
        if victim.is_file() {
            let mut bytes = fs::read(&victim).unwrap();
            bytes[4000] ^= 1;
            fs::write(&victim, bytes).unwrap();
        }
        Ok(())
    }

    fn lose_two_nodes(&mut self) -> Result<bool, SubjectError> {
        Ok(self.two_nodes)
    }

    fn stored_bytes(&self) -> u64 {
        crate::disk_usage::allocated_bytes(&self.folder)
    }
}

const LITTLE: Amount = Amount {
    big_mib: 3,
    huge_mib: 4,
    stream_mib: 1,
    small_files: 20,
    medium_files: 2,
    random_reads: 5,
    random_small_reads: 5,
    stats: 50,
    free_gib: 0,
    row_limit: Duration::from_mins(1),
    huge_limit: Duration::from_mins(1),
};

fn run(victim: &'static str, two_nodes: bool, amount: Amount) -> (Vec<Row>, Result<(), WorkError>, usize) {
    let folder = tempfile::tempdir_in(crate::binary::profile_directory()).unwrap();
    let mut subject = Damaged { folder: folder.path().to_path_buf(), victim, two_nodes };
    let pieces = Pieces::new();
    let mut round = Round::new(&mut subject, 0, amount, &pieces);
    let mut seen = Vec::new();
    let result = round.run(Row::all(), &mut |figure| {
        assert!(figure.value >= 0.0 && figure.seconds >= 0.0, "{figure:?}");
        seen.push(figure.row);
    });
    round.clear().unwrap();
    (seen, result, fs::read_dir(folder.path()).unwrap().count())
}

#[test]
fn every_row_is_measured_in_order_and_nothing_is_left_behind() {
    let (seen, result, left) = run("nothing", true, LITTLE);
    result.unwrap();
    assert_eq!(seen, Row::all());
    assert_eq!(left, 0);
}

#[test]
fn a_system_without_nodes_to_lose_has_no_figure_for_their_loss() {
    let (seen, result, _) = run("nothing", false, LITTLE);
    result.unwrap();
    assert_eq!(seen.len() + 1, Row::all().len());
    assert!(!seen.contains(&Row::ReadTwoLost));
}

#[test]
fn one_flipped_bit_fails_the_round() {
    for victim in ["written-synced", "stream-2", "synced-000007", "synced-threads-000011"] {
        let (_, result, _) = run(victim, true, LITTLE);
        let named = matches!(&result, Err(WorkError::WrongBytes(path)) if path.ends_with(victim));
        assert!(named, "{victim}: {result:?}");
    }
}

#[test]
fn a_row_ends_when_its_time_has_passed() {
    let (seen, result, _) = run("nothing", true, Amount { row_limit: Duration::ZERO, ..LITTLE });
    result.unwrap();
    assert_eq!(seen, Row::all());
}
