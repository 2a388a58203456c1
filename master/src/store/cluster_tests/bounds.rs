//! The log and its snapshots follow the live state, and whoever was away catches up by them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use cairn_proto::wire::snapshot_piece::Piece;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::super::{Epoch, LogOptions, ReplicatedStore, Store};
use super::harness::{Cluster, LONG_LEASE};
use super::put;

const SMALL_LOG: LogOptions = LogOptions { keep_entries: 1000, snapshot_every_entries: 500 };
const LOG_LIMIT_ENTRIES: u64 = 2000;
const SNAPSHOT_LIMIT_BYTES: u64 = 256 << 10;
const KEYS: u32 = 10;
const WRITERS: u32 = 32;
const PATIENCE: Duration = Duration::from_mins(2);

/// So many commands for every change; the promised hundred thousand where `CAIRN_FULL=1` is set.
fn at_scale(every_change: u32) -> u32 {
    if std::env::var_os("CAIRN_FULL").is_some_and(|value| value == "1") { 100_000 } else { every_change }
}

/// Puts on ten keys by many writers; returns the highest index.
async fn write(store: &Arc<ReplicatedStore>, epoch: Epoch, commands: u32) -> u64 {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let store = Arc::clone(store);
        writers.spawn(async move {
            let mut index = 0;
            for number in (writer..commands).step_by(WRITERS as usize) {
                let command = put(&format!("key/{}", number % KEYS), &number.to_string());
                index = store.commit(epoch, command).await.unwrap().index;
            }
            index
        });
    }
    writers.join_all().await.into_iter().max().unwrap()
}

fn size_bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

/// The largest snapshot in a folder, and how many there are. One may be removed meanwhile.
fn snapshots(dir: &Path) -> (u64, usize) {
    let all: Vec<_> = std::fs::read_dir(dir.join("snapshots")).unwrap().map(|entry| entry.unwrap().path()).collect();
    (all.iter().filter(|path| path.exists()).map(|path| size_bytes(path)).max().unwrap_or(0), all.len())
}

/// Waits until the log is within its limit: the last snapshot may still be on its way.
async fn log_is_short(store: &ReplicatedStore) {
    let short = tokio::time::timeout(PATIENCE, async {
        while store.group().log_entries() > LOG_LIMIT_ENTRIES {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    short.await.unwrap_or_else(|_| panic!("the log holds {} entries", store.group().log_entries()));
}

async fn log_and_snapshot_stay_small(commands: u32) {
    let cluster = Cluster::start_with(1, SMALL_LOG, LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let index = write(&elected, epoch, commands).await;
    assert!(index >= u64::from(commands));
    log_is_short(&elected).await;
    let (largest, count) = snapshots(&cluster.dir(0));
    println!("{commands} puts: {} entries in the log, snapshot of {largest} bytes", elected.group().log_entries());
    assert!(count > 0 && largest > 0, "no snapshot was taken");
    assert!(largest <= SNAPSHOT_LIMIT_BYTES, "a snapshot of {largest} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_many_puts_on_ten_keys_log_and_snapshot_are_small() {
    log_and_snapshot_stay_small(at_scale(10_000)).await;
}

/// One voter is away for so many commands, and one joins with an empty disk, while writes go on.
async fn the_absent_and_the_new_catch_up(commands: u32) {
    let mut cluster = Cluster::start_with(3, SMALL_LOG, LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let leader = cluster.number_of(&elected);
    let absent = (leader + 1) % 3;
    cluster.kill(absent).await;
    let index = write(&elected, epoch, commands).await;
    log_is_short(&elected).await;
    let going_on = tokio::spawn({
        let elected = Arc::clone(&elected);
        async move { write(&elected, epoch, commands / 5).await }
    });
    cluster.restart(absent).await;
    let (new, address) = cluster.start_joining().await;
    cluster
        .change(|store| {
            let address = address.clone();
            async move { store.add_master(&address).await }
        })
        .await
        .unwrap();
    for number in [absent, new] {
        tokio::time::timeout(PATIENCE, cluster.store(number).wait_applied(index)).await.expect("catches up");
        assert!(cluster.states(number) > 1, "{number} caught up without a snapshot");
    }
    let last = going_on.await.unwrap();
    for number in [absent, new] {
        tokio::time::timeout(PATIENCE, cluster.store(number).wait_applied(last)).await.expect("keeps up");
    }
    let value = |store: &ReplicatedStore| store.view().unwrap().get(b"key/3").unwrap();
    assert_eq!(value(&cluster.store(absent)), value(&elected));
    assert_eq!(value(&cluster.store(new)), value(&elected));
    cluster.voters(leader, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_was_away_and_one_with_an_empty_disk_catch_up_by_snapshot_while_writes_go_on() {
    the_absent_and_the_new_catch_up(at_scale(5_000)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_off_leaves_nothing_and_the_next_one_succeeds() {
    let mut cluster = Cluster::start_with(3, SMALL_LOG, LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let leader = cluster.number_of(&elected);
    let absent = (leader + 1) % 3;
    cluster.kill(absent).await;
    let index = write(&elected, epoch, 3000).await;
    let (pieces, stream) = mpsc::channel(4);
    let files = vec![wire::SnapshotFile { name: "half".to_owned(), size_bytes: 2 << 20, crc32c: 0 }];
    cluster.restart(absent).await;
    let header = wire::SnapshotHeader { header: Some(cluster.header(leader, absent)), files, ..Default::default() };
    for piece in [Piece::Header(header), Piece::Data(vec![0; 1 << 20].into())] {
        pieces.send(wire::SnapshotPiece { piece: Some(piece) }).await.unwrap();
    }
    let mut client = RaftClient::connect(format!("http://{}", cluster.address(absent))).await.unwrap();
    let broken = tokio::spawn(async move { client.install_snapshot(ReceiverStream::new(stream)).await });
    drop(pieces);
    let broken = broken.await.unwrap().unwrap_err();
    assert!(matches!(broken.code(), tonic::Code::InvalidArgument | tonic::Code::Unavailable), "{broken}");
    tokio::time::timeout(PATIENCE, cluster.store(absent).wait_applied(index)).await.expect("catches up");
    let left = || std::fs::read_dir(cluster.dir(absent).join("incoming")).unwrap().map(|entry| entry.unwrap().path());
    assert!(left().all(|path| !path.join("half").exists()), "the broken transfer left its files");
}
