//! What a crash, or damage, leaves of the log.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use cairn_proto::ids::{CommandId, MasterId};
use cairn_proto::wire;
use futures_util::FutureExt;
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::type_config::TypeConfigExt;
use openraft::vote::RaftVote;
use openraft::vote::leader_id_adv::LeaderId;

use super::super::{Epoch, LogWriting, Operation, Proposal};
use super::convert::log_id_from_wire;
use super::entry_convert::logged;
use super::{Entry, LogId, LogStore, Types, Vote};

fn log_id(index: u64) -> LogId {
    log_id_from_wire(&wire::LogId { term: 1, master: 1, index })
}

fn entry(index: u64) -> Entry {
    let value = Bytes::from(vec![b'x'; 1000]);
    let operations = vec![Operation::Put { key: Bytes::from_static(b"key"), value }];
    let (leader, epoch, id) = (MasterId::generate(), Epoch(1), CommandId::generate());
    let proposal = Proposal { leader, epoch, id, number: None, operations };
    Entry { log_id: log_id(index), payload: EntryPayload::Normal(logged(proposal)) }
}

/// Appends entries one by one and waits until each is durable.
async fn append(log: &mut LogStore, indexes: std::ops::Range<u64>) {
    for index in indexes {
        let (flushed, durable) = tokio::sync::oneshot::channel();
        log.append([entry(index)], signal(flushed)).await.unwrap();
        durable.await.unwrap().unwrap();
    }
}

fn signal(done: tokio::sync::oneshot::Sender<std::io::Result<()>>) -> IOFlushed<Types> {
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

fn write_ahead_log(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    logs.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
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
async fn a_torn_last_record_is_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..20).await;
    drop(log);
    let path = write_ahead_log(dir.path());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(fs::metadata(&path).unwrap().len() - 100).unwrap();

    let mut log = LogStore::open(dir.path(), false, LogWriting::Thread).unwrap();
    assert_eq!(indexes(&mut log).await, (0..19).collect::<Vec<_>>());
}

#[tokio::test]
async fn damage_before_the_last_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = LogStore::open(dir.path(), true, LogWriting::Thread).unwrap();
    append(&mut log, 0..20).await;
    drop(log);
    let path = write_ahead_log(dir.path());
    let mut contents = fs::read(&path).unwrap();
    let middle = contents.len() / 2;
    contents[middle] ^= 0x40;
    fs::write(&path, contents).unwrap();

    let error = LogStore::open(dir.path(), false, LogWriting::Thread).map(drop).expect_err("damage was accepted");
    assert!(error.to_string().contains("Corruption"), "{error}");
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
        let error = LogStore::open(dir.path(), false, LogWriting::Thread).map(drop).expect_err("damage was accepted");
        assert!(error.to_string().contains("the Raft log is damaged"), "{error}");
    }
}

#[tokio::test]
async fn a_missing_log_is_not_made_again() {
    let dir = tempfile::tempdir().unwrap();
    LogStore::open(dir.path(), false, LogWriting::Thread).map(drop).unwrap_err();
}
