//! What a crash, or damage, leaves of the log.

use std::path::{Path, PathBuf};
use std::{fs, io};

use bytes::Bytes;
use cairn_proto::ids::{CommandId, MasterId};
use cairn_proto::wire;
use futures_util::FutureExt;
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftVote;
use openraft::vote::leader_id_adv::LeaderId;
use tempfile::TempDir;

use super::super::{Epoch, LogWriting, Operation, Proposal};
use super::convert::log_id_from_wire;
use super::entry_convert::logged;
use super::{Entry, LogId, LogStore, Types, Vote};

fn log_id(index: u64) -> LogId {
    log_id_from_wire(&wire::LogId { term: 1, master: 1, index })
}

fn entry(index: u64) -> Entry {
    entry_of(index, 1000)
}

fn entry_of(index: u64, size_bytes: usize) -> Entry {
    let value = Bytes::from(vec![b'x'; size_bytes]);
    let operations = vec![Operation::Put { key: Bytes::from_static(b"key"), value }];
    let (leader, epoch, id) = (MasterId::generate(), Epoch(1), CommandId::generate());
    let proposal = Proposal { leader, epoch, id, number: None, operations };
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(logged(proposal)) }
}

/// Appends entries one by one and waits until each is durable.
async fn append(log: &mut LogStore, indexes: std::ops::Range<u64>) {
    for index in indexes {
        append_with(log, entry(index)).await;
    }
}

async fn append_with(log: &mut LogStore, entry: Entry) {
    let (flushed, durable) = tokio::sync::oneshot::channel();
    log.append([entry], signal(flushed)).await.unwrap();
    durable.await.unwrap().unwrap();
}

fn signal(done: tokio::sync::oneshot::Sender<io::Result<()>>) -> IOFlushed<Types> {
    let (sender, receiver) = <Types as TypeConfigExt>::oneshot();
    tokio::spawn(async move {
        let result = receiver.await.unwrap();
        done.send(result).unwrap();
    });
    IOFlushed::signal(sender)
}

async fn indexes(log: &mut LogStore) -> Vec<u64> {
    let entries = log.get_log_reader().await.try_get_log_entries(..).await.unwrap();
    entries.iter().map(|entry| entry.log_id.index).collect()
}

/// The files as a crash leaves them while nothing is written: without what closing the log would write out.
fn crash_image(log: &LogStore, dir: &Path) -> TempDir {
    log.wait_for_tables();
    let image = tempfile::tempdir().unwrap();
    copy_below(dir, image.path());
    image
}

fn copy_below(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_below(&file.path(), &to);
        } else if let Err(error) = fs::copy(file.path(), to) {
            // Of no use any more, and removed only now.
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{}", file.path().display());
        }
    }
}

/// What a crash leaves of a log of so many entries.
async fn crashed_log(entries: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..entries).await;
    crash_image(&log, dir.path())
}

fn refusal(dir: &Path) -> String {
    LogStore::open(dir, false, LogWriting::Thread).map(drop).expect_err("damage or a loss was accepted").to_string()
}

fn journal_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("journal")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Changes what is used of the newest file of the journal.
fn change_journal(dir: &Path, change: impl FnOnce(&mut [u8])) {
    let path = journal_files(dir).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    change(&mut bytes[..end]);
    fs::write(&path, bytes).unwrap();
}

#[tokio::test]
async fn what_was_reported_durable_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let vote = Vote::from_leader_id(LeaderId { term: 7, node_id: 2 }, true);
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..20).await;
    log.save_vote(&vote).await.unwrap();
    log.truncate_after(Some(log_id(14))).await.unwrap();
    log.purge(log_id(4)).await.unwrap();
    append(&mut log, 15..17).await;
    log.save_committed(Some(log_id(10))).await.unwrap();
    drop(log);

    let mut log = LogStore::open(dir.path(), false, LogWriting::Thread).unwrap();
    assert_eq!(indexes(&mut log).await, (5..17).collect::<Vec<_>>());
    assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(10)));
    let state = log.get_log_state().await.unwrap();
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(4)), Some(log_id(16))));
    append(&mut log, 17..18).await;
}

/// Appends an entry, and says whether it was durable at once.
async fn append_at_once(log: &mut LogStore, index: u64) -> bool {
    let (sender, mut durable) = <Types as TypeConfigExt>::oneshot();
    log.append([entry(index)], IOFlushed::signal(sender)).await.unwrap();
    if let Some(reported) = (&mut durable).now_or_never() {
        reported.unwrap().unwrap();
        return true;
    }
    durable.await.unwrap().unwrap();
    false
}

#[tokio::test]
async fn a_master_that_sends_nobody_entries_writes_in_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    log.no_followers().set(true);
    assert!(append_at_once(&mut log, 0).await, "nothing is known of the disk yet that speaks against it");
}

#[tokio::test]
async fn a_write_in_place_waits_for_those_that_are_queued() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    for round in 0..50 {
        log.no_followers().set(false);
        // Two that nobody waits for, while the next one is made.
        log.append([entry(3 * round)], IOFlushed::noop()).await.unwrap();
        log.append([entry(3 * round + 1)], IOFlushed::noop()).await.unwrap();
        log.no_followers().set(true);
        append_at_once(&mut log, 3 * round + 2).await;
        assert!((0..3).all(|before| log.is_written(3 * round + before)), "those before it are written first");
    }
    drop(log);
    let mut log = LogStore::open(dir.path(), false, LogWriting::Thread).unwrap();
    assert_eq!(indexes(&mut log).await, (0..150).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_append_that_leaves_a_hole_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..3).await;
    for wrong in [2, 4] {
        log.append([entry(wrong)], IOFlushed::noop()).await.unwrap_err();
    }
    append(&mut log, 3..4).await;
    assert_eq!(indexes(&mut log).await, [0, 1, 2, 3]);
}

#[tokio::test]
async fn what_was_reported_durable_needs_nothing_that_closing_writes() {
    let dir = tempfile::tempdir().unwrap();
    let vote = Vote::from_leader_id(LeaderId { term: 7, node_id: 2 }, true);
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..20).await;
    log.save_vote(&vote).await.unwrap();
    log.truncate_after(Some(log_id(14))).await.unwrap();
    log.purge(log_id(4)).await.unwrap();
    append(&mut log, 15..17).await;

    let mut image = crash_image(&log, dir.path());
    // Also after a crash of the start that brings it up to date, and again.
    for _ in 0..3 {
        let mut log = LogStore::open(image.path(), false, LogWriting::Thread).unwrap();
        assert_eq!(indexes(&mut log).await, (5..17).collect::<Vec<_>>());
        assert_eq!(log.get_log_reader().await.read_vote().await.unwrap(), Some(vote));
        let state = log.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(4)), Some(log_id(16))));
        image = crash_image(&log, image.path());
    }
}

#[tokio::test]
async fn the_journal_follows_what_the_tables_hold_and_a_crash_loses_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    for index in 0..120 {
        append_with(&mut log, entry_of(index, 1 << 20)).await;
        assert!(journal_files(dir.path()).len() <= 6, "{:?} after {index}", journal_files(dir.path()));
        if index % 30 == 29 {
            let image = crash_image(&log, dir.path());
            let mut log = LogStore::open(image.path(), false, LogWriting::Thread).unwrap();
            assert_eq!(indexes(&mut log).await, (0..=index).collect::<Vec<_>>());
            assert_eq!(journal_files(image.path()).len(), 1, "all is in tables after a start");
        }
    }
    let oldest = journal_files(dir.path()).remove(0);
    assert!(!oldest.ends_with("00000000000000000001"), "{}", oldest.display());
}

#[tokio::test]
async fn a_torn_last_record_is_accepted() {
    let image = crashed_log(20).await;
    change_journal(image.path(), |used| {
        let sector = (used.len() - 1) / 512 * 512;
        used[sector..].fill(0);
    });

    let mut log = LogStore::open(image.path(), false, LogWriting::Thread).unwrap();
    assert_eq!(indexes(&mut log).await, (0..19).collect::<Vec<_>>());
    append(&mut log, 19..21).await;
    let image = crash_image(&log, image.path());
    let mut log = LogStore::open(image.path(), false, LogWriting::Thread).unwrap();
    assert_eq!(indexes(&mut log).await, (0..21).collect::<Vec<_>>());
}

#[tokio::test]
async fn damage_before_the_last_record_is_refused() {
    let image = crashed_log(20).await;
    change_journal(image.path(), |used| used[used.len() / 2] ^= 0x40);

    let error = refusal(image.path());
    assert!(error.contains("is broken, and record"), "{error}");
}

#[tokio::test]
async fn a_log_without_a_journal_gets_one_and_one_that_lost_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..20).await;
    drop(log);
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    let error = refusal(dir.path());
    assert!(error.contains("of the journal in"), "{error}");

    // As a program leaves it that knew of no journal.
    rocksdb::DB::open_default(dir.path()).unwrap().delete(b"j").unwrap();
    let mut log = LogStore::open(dir.path(), false, LogWriting::Thread).unwrap();
    append(&mut log, 20..22).await;
    let image = crash_image(&log, dir.path());
    let mut log = LogStore::open(image.path(), false, LogWriting::Thread).unwrap();
    assert_eq!(indexes(&mut log).await, (0..22).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_journal_of_no_known_log_is_refused() {
    let image = crashed_log(2).await;
    rocksdb::DB::open_default(image.path()).unwrap().delete(b"j").unwrap();
    let error = refusal(image.path());
    assert!(error.contains("no mark of it"), "{error}");
}

#[tokio::test]
async fn a_vote_or_an_entry_that_does_not_decode_is_refused_and_never_absent() {
    let damaged: [(&[u8], &[u8]); 3] = [
        (b"v", b"\xff\xff"),
        (b"e\x00\x00\x00\x00\x00\x00\x00\x02", b"\xff\xff"),
        (b"e\x00\x00\x00\x00\x00\x00\x00\x07", b"\xff\xff"),
    ];
    for (key, value) in damaged {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
        append(&mut log, 0..3).await;
        drop(log);
        rocksdb::DB::open_default(dir.path()).unwrap().put(key, value).unwrap();
        let error = refusal(dir.path());
        assert!(error.contains("the Raft log is damaged"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_log_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    LogStore::open(dir.path(), false, LogWriting::Thread).map(drop).unwrap_err();
}
