use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use proptest::prelude::{Just, Strategy, any};
use proptest::{collection, prop_assert, prop_assert_eq, proptest};
use tempfile::TempDir;

use super::damage::Damage;
use super::layout::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, encode_record, seal_record};
use super::{Journal, JournalError, RecordNumber, SEGMENT_BYTES, path_of, segments};

/// A record as its parts.
type Parts = Vec<Vec<u8>>;

fn append(journal: &mut Journal, parts: &[Vec<u8>]) {
    journal.append(parts.iter().map(Vec::as_slice)).unwrap();
    journal.sync().unwrap();
}

/// A journal of these records in a new directory.
fn written(records: &[Parts]) -> (TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let mut journal = Journal::begin(dir.path(), RecordNumber::NONE).unwrap();
    for record in records {
        append(&mut journal, record);
    }
    (dir, journal)
}

/// All records behind `done`.
fn replayed(dir: &Path, done: RecordNumber) -> Result<Vec<Parts>, JournalError> {
    let mut records = Vec::new();
    let mut due = done;
    let last = Journal::replay(dir, done, |number, parts| {
        due = due.next();
        assert_eq!(number, due);
        records.push(parts.into_iter().map(<[u8]>::to_vec).collect());
        Ok(())
    })?;
    assert_eq!(last, due);
    Ok(records)
}

fn numbered(count: u8) -> Vec<Parts> {
    (1..=count).map(|number| vec![vec![number; 300], vec![], vec![number]]).collect()
}

fn only_file(dir: &Path) -> PathBuf {
    path_of(dir, segments(dir).unwrap()[0])
}

/// Where the record of each of these begins in a segment, and where the last one ends.
fn offsets(records: &[Parts]) -> Vec<usize> {
    let mut offsets = vec![SEGMENT_HEADER_BYTES];
    for record in records {
        let mut bytes = Vec::new();
        encode_record(&mut bytes, RecordNumber(1), record.iter().map(Vec::as_slice)).unwrap();
        offsets.push(offsets[offsets.len() - 1] + bytes.len());
    }
    offsets
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, at as u64).unwrap();
}

#[test]
fn records_come_back_in_order_from_wherever_they_are_asked_for() {
    let records = numbered(9);
    let (dir, _journal) = written(&records);
    for done in 0..=9 {
        assert_eq!(replayed(dir.path(), RecordNumber(done)).unwrap(), records[usize::try_from(done).unwrap()..]);
    }
}

#[test]
fn records_of_many_sizes_go_to_one_segment_after_another() {
    let sizes = [1, 5 << 20, 7 << 20, 6 << 20, 0, 40 << 20, 3, 16 << 20, 9];
    let records: Vec<Parts> = sizes.iter().map(|size| vec![vec![7; *size]]).collect();
    let (dir, journal) = written(&records);
    assert_eq!(replayed(dir.path(), RecordNumber::NONE).unwrap(), records);
    let begun: Vec<u64> = segments(dir.path()).unwrap().into_iter().map(|first| first.0).collect();
    assert_eq!(begun, [1, 4, 6, 7, 8, 9]);
    for first in segments(dir.path()).unwrap() {
        assert!(fs::metadata(path_of(dir.path(), first)).unwrap().len() >= SEGMENT_BYTES);
    }
    assert_eq!(journal.next(), RecordNumber(10));
}

#[test]
fn segments_go_once_nothing_of_them_is_needed() {
    let records: Vec<Parts> = (1..=6).map(|number| vec![vec![number; 9 << 20]]).collect();
    let (dir, mut journal) = written(&records);
    for (done, left) in [(0, 6), (1, 5), (1, 5), (4, 2), (6, 1)] {
        journal.release(RecordNumber(done)).unwrap();
        assert_eq!(segments(dir.path()).unwrap().len(), left, "{done}");
        assert_eq!(replayed(dir.path(), RecordNumber(done)).unwrap().len(), 6 - usize::try_from(done).unwrap());
    }
}

#[test]
fn a_journal_goes_on_behind_what_was_replayed() {
    let records = numbered(5);
    let (dir, journal) = written(&records[..3]);
    drop(journal);
    for done in [2, 3, 3] {
        let last = Journal::replay(dir.path(), RecordNumber(done), |_, _| Ok(())).unwrap();
        assert_eq!(last, RecordNumber(3));
        assert_eq!(Journal::begin(dir.path(), last).unwrap().next(), RecordNumber(4));
        assert_eq!(segments(dir.path()).unwrap(), [RecordNumber(4)]);
    }
    let mut journal = Journal::begin(dir.path(), RecordNumber(3)).unwrap();
    append(&mut journal, &records[3]);
    append(&mut journal, &records[4]);
    assert_eq!(replayed(dir.path(), RecordNumber(3)).unwrap(), records[3..]);
}

#[test]
fn a_crash_before_the_earlier_segments_are_removed_changes_nothing() {
    let records = numbered(5);
    let (dir, journal) = written(&records[..3]);
    drop(journal);
    let first = fs::read(only_file(dir.path())).unwrap();
    let mut journal = Journal::begin(dir.path(), RecordNumber(3)).unwrap();
    fs::write(path_of(dir.path(), RecordNumber(1)), &first).unwrap();
    append(&mut journal, &records[3]);
    assert_eq!(replayed(dir.path(), RecordNumber(1)).unwrap(), records[1..4]);
    // Half made: it has no name yet that counts.
    fs::write(dir.path().join("new"), b"Cair").unwrap();
    assert_eq!(replayed(dir.path(), RecordNumber(3)).unwrap(), records[3..4]);
    append(&mut Journal::begin(dir.path(), RecordNumber(4)).unwrap(), &records[4]);
    assert_eq!(replayed(dir.path(), RecordNumber(4)).unwrap(), records[4..]);
}

/// Records of several sectors.
fn wide(count: u8) -> Vec<Parts> {
    (1..=count).map(|number| vec![vec![number; 2000]]).collect()
}

#[test]
fn a_torn_last_record_is_left_out_whichever_of_its_sectors_are_missing() {
    let records = wide(3);
    let last = offsets(&records)[2]..offsets(&records)[3];
    let sectors: Vec<_> = (last.start / 512..last.end.div_ceil(512)).collect();
    for missing in 1..1_u32 << sectors.len() {
        let (dir, _journal) = written(&records);
        for (_, sector) in sectors.iter().enumerate().filter(|(place, _)| missing & (1 << place) != 0) {
            let (from, to) = (last.start.max(sector * 512), last.end.min((sector + 1) * 512));
            overwrite(&only_file(dir.path()), from, &vec![0; to - from]);
        }
        assert_eq!(replayed(dir.path(), RecordNumber::NONE).unwrap(), records[..2], "{missing:b}");
    }
}

#[test]
fn a_last_record_that_is_all_there_and_broken_is_damage() {
    let records = wide(3);
    let payload = offsets(&records)[2] + RECORD_HEADER_BYTES..offsets(&records)[3];
    for broken in payload.step_by(97) {
        let (dir, _journal) = written(&records);
        overwrite(&only_file(dir.path()), broken, b"!");
        let error = replayed(dir.path(), RecordNumber::NONE).unwrap_err();
        assert!(error.to_string().contains("its last record, 3, is all there and broken"), "{broken}: {error}");
    }
}

#[test]
fn a_last_record_longer_than_the_zeros_ahead_may_be_torn_in_any_way() {
    let records = [vec![vec![1; 100]], vec![vec![2; 1 << 20]]];
    let (dir, _journal) = written(&records);
    // What was in the blocks before, on a file system that does not keep it from being seen.
    overwrite(&only_file(dir.path()), 500 << 10, &[9; 4096]);
    assert_eq!(replayed(dir.path(), RecordNumber::NONE).unwrap(), records[..1]);
}

#[test]
fn a_broken_record_with_a_whole_one_behind_it_is_damage() {
    let records = numbered(4);
    let offsets = offsets(&records);
    for (number, at) in (1..=3).zip(&offsets) {
        let (dir, _journal) = written(&records);
        overwrite(&only_file(dir.path()), at + RECORD_HEADER_BYTES + 8, b"other");
        let error = replayed(dir.path(), RecordNumber::NONE).unwrap_err();
        let expected = Damage::Record { broken: RecordNumber(number), whole: RecordNumber(number + 1) };
        assert!(matches!(&error, JournalError::Damaged { damage, .. } if *damage == expected), "{error}");
    }
}

#[test]
fn zeros_in_place_of_records_are_damage_if_one_is_behind_them() {
    let records = numbered(4);
    let offsets = offsets(&records);
    let (dir, _journal) = written(&records);
    overwrite(&only_file(dir.path()), offsets[1], &vec![0; offsets[3] - offsets[1]]);
    let error = replayed(dir.path(), RecordNumber::NONE).unwrap_err();
    assert!(error.to_string().contains("record 2 is broken, and record 4 behind it is whole"), "{error}");
}

#[test]
fn a_file_that_is_missing_cut_or_anothers_is_refused() {
    let records: Vec<Parts> = (1..=6).map(|number| vec![vec![number; 9 << 20]]).collect();
    for gone in 1..=5_u64 {
        let (dir, _journal) = written(&records);
        fs::remove_file(path_of(dir.path(), RecordNumber(gone))).unwrap();
        let error = replayed(dir.path(), RecordNumber::NONE).unwrap_err();
        assert!(matches!(error, JournalError::Missing { number, .. } if number == RecordNumber(gone)), "{error}");
    }
    let (dir, _journal) = written(&records);
    let cut = path_of(dir.path(), RecordNumber(3));
    OpenOptions::new().write(true).open(&cut).unwrap().set_len(5 << 20).unwrap();
    let error = replayed(dir.path(), RecordNumber::NONE).unwrap_err();
    assert!(matches!(error, JournalError::Missing { number: RecordNumber(3), .. }), "{error}");
    fs::copy(path_of(dir.path(), RecordNumber(2)), &cut).unwrap();
    let error = replayed(dir.path(), RecordNumber::NONE).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { damage: Damage::Header, .. }), "{error}");
    fs::remove_dir_all(dir.path()).unwrap();
    fs::create_dir(dir.path()).unwrap();
    let error = replayed(dir.path(), RecordNumber(4)).unwrap_err();
    for told in ["record 5 of the journal in", "cairn master remove"] {
        assert!(error.to_string().contains(told), "{told} is not in: {error}");
    }
}

#[test]
fn what_a_user_stores_does_not_pass_for_a_record() {
    let mut forged = Vec::new();
    // Records of every number that could be due, of a segment with another salt.
    for number in 1..20 {
        let mut record = Vec::new();
        encode_record(&mut record, RecordNumber(number), [&b"forged"[..]].into_iter()).unwrap();
        seal_record(&mut record, 5, true);
        forged.extend(record);
    }
    let records = [vec![b"first".to_vec()], vec![vec![1; 4], forged]];
    let (dir, _journal) = written(&records);
    overwrite(&only_file(dir.path()), offsets(&records)[1], &[0; RECORD_HEADER_BYTES]);
    assert_eq!(replayed(dir.path(), RecordNumber::NONE).unwrap(), records[..1]);
}

#[test]
fn a_replay_ends_with_the_first_failure() {
    let (dir, _journal) = written(&numbered(3));
    let mut seen = 0;
    let error = Journal::replay(dir.path(), RecordNumber::NONE, |_, _| {
        seen += 1;
        Err(io::Error::other("full"))
    });
    assert!(matches!(error, Err(JournalError::Io(_))));
    assert_eq!(seen, 1);
}

fn records() -> impl Strategy<Value = Vec<Parts>> {
    let part = collection::vec(any::<u8>(), 0..700);
    collection::vec(collection::vec(part, 1..4), 1..12)
}

proptest! {
    #[test]
    fn no_flipped_bit_loses_or_changes_a_record_but_the_last(
        (records, at) in records().prop_flat_map(|records| (Just(records), any::<proptest::sample::Index>())),
        bit in 0..u8::BITS,
    ) {
        let (dir, _journal) = written(&records);
        let path = only_file(dir.path());
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(offsets(&records)[records.len()]);
        bytes[at] ^= 1_u8 << bit;
        fs::write(&path, &bytes).unwrap();
        match replayed(dir.path(), RecordNumber::NONE) {
            Err(JournalError::Damaged { .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
            // A bit of the zeros that fill a record up, or of the last record.
            Ok(left) => {
                prop_assert!(left.len() + 1 >= records.len());
                prop_assert_eq!(&left[..], &records[..left.len()]);
            }
        }
    }
}
