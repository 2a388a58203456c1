//! Every master keeps the changes of watched records, however they reach it.

use std::sync::Arc;

use super::super::{Change, Command, HistoryLost, LogOptions, ReplicatedStore, Store};
use super::harness::{Cluster, LONG_LEASE};
use super::{FEW_ENTRIES, put};

const ALL: usize = usize::MAX / 2;

async fn changes(store: &ReplicatedStore, after: u64, through: u64) -> Vec<Arc<Change>> {
    store.wait_applied(through).await;
    store.changes().after(after, ALL).unwrap().changes
}

#[tokio::test(flavor = "multi_thread")]
async fn every_master_keeps_the_same_changes_in_the_order_of_the_log() {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let begin = elected.commit(epoch, put("other/a", "1")).await.unwrap().index;
    let mut command = Command::new();
    command.put("key/b", "1").put("key/a", "1").put("segment/a", "1");
    let two = elected.commit(epoch, command).await.unwrap().index;
    let replaced = elected.commit(epoch, put("key/a", "2")).await.unwrap().index;
    let mut command = Command::new();
    command.delete("key/a").delete("key/never");
    let removed = elected.commit(epoch, command).await.unwrap().index;
    let change = |index, key: &str, before: Option<&str>, after: Option<&str>| {
        let value = |text: Option<&str>| text.map(|text| text.to_owned().into());
        Arc::new(Change { index, key: key.to_owned().into(), before: value(before), after: value(after) })
    };
    let expected = [
        change(two, "key/a", None, Some("1")),
        change(two, "key/b", None, Some("1")),
        change(replaced, "key/a", Some("1"), Some("2")),
        change(removed, "key/a", Some("2"), None),
    ];
    for store in cluster.stores() {
        assert_eq!(changes(&store, begin, removed).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_by_a_snapshot_has_no_history_and_what_follows_has() {
    let mut cluster = Cluster::start_with(3, FEW_ENTRIES, LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let absent = (cluster.number_of(&elected) + 1) % 3;
    cluster.kill(absent).await;
    let first = elected.commit(epoch, put("key/first", "1")).await.unwrap().index;
    let mut last = first;
    while elected.group().purged_index() <= first {
        last = elected.commit(epoch, put("key/again", "1")).await.unwrap().index;
    }
    cluster.restart(absent).await;
    let follower = cluster.store(absent);
    follower.wait_applied(last).await;
    let HistoryLost { lost } = follower.changes().after(first - 1, ALL).unwrap_err();
    assert!(lost >= first, "the snapshot holds the first change, and its history ends at {lost}");
    let next = elected.commit(epoch, put("key/next", "1")).await.unwrap().index;
    let kept = changes(&follower, lost.max(last), next).await;
    assert_eq!(kept.iter().map(|change| change.index).collect::<Vec<_>>(), [next]);
}
