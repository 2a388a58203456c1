//! With a short log: followers that were away catch up by snapshot, and log and snapshot stay small.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cairn_master::store::Store;
use cairn_tests::Machine;
use cairn_tests::history::History;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::recording_client::RecordingClient;
use cairn_tests::scale::Scale;
use cairn_tests::store_group::{GroupOptions, PATIENCE, StoreGroup};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::generic::Generic;
use crate::{SHORT_LOG, SHORT_LOG_ENTRIES};

const SNAPSHOT_LIMIT_BYTES: u64 = 256 << 10;
/// Requests that a client has under way where many puts are wanted.
const WRITERS: u64 = 32;
/// How often what cannot be awaited is looked at.
const LOOK: Duration = Duration::from_millis(20);

async fn three(limits_seed: u64) -> StoreGroup {
    let group = StoreGroup::start(&GroupOptions { size: 3, limits: SHORT_LOG, seed: limits_seed }).await;
    group.elected().await;
    group
}

async fn client(group: &StoreGroup, id: u64, history: &History) -> Arc<RecordingClient> {
    Arc::new(RecordingClient::new(id, group.client(id).await, history))
}

/// Puts each number below `puts` into the key of its name modulo `keys`, many at a time.
async fn put_many(client: &Arc<RecordingClient>, puts: u64, keys: u64) {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = Arc::clone(client);
        writers.spawn(async move {
            for number in (writer..puts).step_by(usize::try_from(WRITERS).unwrap()) {
                client.put(&(number % keys).to_string(), number.to_string()).await;
            }
        });
    }
    writers.join_all().await;
}

/// Waits until no master of `ids` keeps more of the log than it may.
async fn logs_are_short(group: &StoreGroup, ids: &[u64]) {
    let shrinking = async {
        while ids.iter().any(|id| group.store(*id).unwrap().log_size().entries() > SHORT_LOG_ENTRIES) {
            sleep(LOOK).await;
        }
    };
    timeout(Duration::from_secs(10), shrinking).await.expect("logs are purged behind snapshots");
}

/// Bytes of the largest checkpoint that a master keeps to send. Older ones may be removed meanwhile.
fn snapshot_bytes(dir: &Path) -> u64 {
    let snapshots = std::fs::read_dir(dir.join("snapshots")).unwrap().flatten();
    snapshots.map(|snapshot| folder_bytes(&snapshot.path())).max().unwrap_or(0)
}

fn folder_bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_rpc() {
    const PUTS: u64 = 5 * SHORT_LOG_ENTRIES / 2;
    let _machine = Machine::alone();
    let group = three(1).await;
    let history = History::default();
    let (client_one, writer) = (client(&group, 1, &history).await, client(&group, 2, &history).await);
    client_one.put("a", "A").await;
    let elected = group.elected().await;
    let [absent, other] = group.ids().into_iter().filter(|id| *id != elected).collect::<Vec<_>>()[..] else {
        panic!("three masters, one of them elected");
    };
    group.network().partition(&[&[absent], &[elected, other]]);
    let behind = group.store(absent).unwrap().log_size().last_index;
    put_many(&writer, PUTS, 50).await;
    for number in 0..50 {
        client_one.put(&number.to_string(), number.to_string()).await;
    }
    client_one.put("b", "B").await;
    logs_are_short(&group, &[elected, other]).await;
    let kept_from = group.store(elected).unwrap().log_size().purged_index;
    assert!(kept_from > behind, "void: the log still has what the absent master lacks");

    // The absent master and the elected one alone: nothing commits before the former has the state.
    group.network().partition(&[&[absent, elected], &[other]]);
    client_one.put("c", "C").await;
    client_one.put("d", "D").await;
    for (key, value) in [("a", "A"), ("b", "B"), ("1", "1"), ("49", "49")] {
        assert_eq!(client_one.get(key).await, value, "key {key:?}");
    }
    assert!(group.dir(absent).join("state/0000000002").exists(), "caught up without a snapshot");

    group.network().heal();
    client_one.put("e", "E").await;
    for (key, value) in [("c", "C"), ("e", "E"), ("1", "1")] {
        assert_eq!(client_one.get(key).await, value, "key {key:?}");
    }
    let applied = group.store(elected).unwrap().view().unwrap().applied_index();
    let last = group.store(other).unwrap();
    timeout(PATIENCE, last.wait_applied(applied)).await.expect("all masters catch up");
    check(&history.operations(), STEPS_LIMIT).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_size() {
    const KEYS: u64 = 10;
    let _machine = Machine::alone();
    let puts = Scale::from_environment().puts;
    let group = three(2).await;
    let history = History::default();
    let (before, writer) = (client(&group, 1, &history).await, client(&group, 2, &history).await);
    for _ in 0..20 {
        for value in ["0", "1"] {
            before.put("x", value).await;
            assert_eq!(before.get("x").await, value);
        }
    }
    put_many(&writer, puts, KEYS).await;
    logs_are_short(&group, &group.ids()).await;
    for id in group.ids() {
        let store = group.store(id).unwrap();
        assert!(store.log_size().last_index > puts, "master {id} has all puts");
        let bytes = snapshot_bytes(&group.dir(id));
        println!("master {id}: {:?}, snapshots of {bytes} bytes", store.log_size());
        assert!(bytes > 0, "void: master {id} has no snapshot");
        assert!(bytes <= SNAPSHOT_LIMIT_BYTES, "snapshots of {bytes} bytes on master {id}");
    }
    let reader = client(&group, 3, &history).await;
    for key in 0..KEYS {
        let number: u64 = reader.get(&key.to_string()).await.parse().unwrap();
        assert_eq!(number % KEYS, key);
    }
    check(&history.operations(), STEPS_LIMIT).unwrap();
}

const SNAPSHOTS: Generic = Generic { snapshots: true, ..Generic::RELIABLE };

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_recover() {
    Generic { clients: 1, crashes: true, ..SNAPSHOTS }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_recover_many_clients() {
    Generic { clients: 20, crashes: true, ..SNAPSHOTS }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_unreliable() {
    Generic { unreliable: true, ..SNAPSHOTS }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_unreliable_recover() {
    Generic { unreliable: true, crashes: true, ..SNAPSHOTS }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_unreliable_recover_concurrent_partition() {
    Generic { unreliable: true, crashes: true, partitions: true, ..SNAPSHOTS }.run().await;
}
