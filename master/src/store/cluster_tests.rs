//! Groups of real stores over real connections, in one process: each master has a runtime of its own, so that one can
//! be killed with all its tasks and connections.

mod appending;
mod bounds;
mod forwarding;
mod harness;
mod membership;
mod reading;
mod watched;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_proto::ids::{ClusterId, MasterId};
use cairn_proto::wire;
use tonic::Code;

use super::raft::LogLimits;
use super::{
    Command, CommitError, Epoch, Expected, LEASE_KEY, LogOptions, MemoryStore, ReplicatedStore, Standing, Store,
};
use harness::{Cluster, LONG_LEASE, PATIENCE, elected_of};

const FEW_ENTRIES: LogLimits = LogLimits { snapshot_every: 50, kept_log: 0, replication_lag: 10, purge_batch: 1 };

fn put(key: &str, value: &str) -> Command {
    let mut command = Command::new();
    command.put(key.to_owned(), value.to_owned());
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_group_elects_one_master_and_its_commands_reach_all() {
    for size in [1, 3] {
        let started = Instant::now();
        let cluster = Cluster::start_with(size, LogOptions::default(), LONG_LEASE).await;
        let (elected, epoch) = cluster.elected().await;
        println!("{size} fresh masters: one served after {:?}", started.elapsed());
        cluster.steady().await;
        assert_eq!(epoch, Epoch(1));
        let committed = elected.commit(epoch, put("key/a", "1")).await.unwrap();
        assert_eq!(elected.view().unwrap().get(b"key/a").unwrap().unwrap().version, committed.index);
        let id = elected.cluster().unwrap();
        for store in cluster.stores() {
            store.wait_applied(committed.index).await;
            let view = store.view().unwrap();
            assert!(view.applied_index() >= committed.index);
            assert_eq!(view.get(b"key/a").unwrap().unwrap().value, "1");
            assert_eq!(store.cluster(), Some(id));
        }
        cluster.settled(&elected, size).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_values_and_refuse_the_whole_command() {
    let cluster = Cluster::start(1, LogOptions::default()).await;
    let (elected, epoch) = cluster.elected().await;
    let first = elected.commit(epoch, put("key/a", "1")).await.unwrap();
    let mut command = Command::new();
    command.put("key/b", "2").put_if("key/a", "3", Expected::Version(first.index + 1));
    let refused = elected.commit(epoch, command).await;
    assert_eq!(refused, Err(CommitError::ConditionFailed { operation: 1 }));
    assert_eq!(elected.commit(Epoch(epoch.0 + 1), put("key/b", "2")).await, Err(CommitError::Deposed));
    let mut command = Command::new();
    command.put_at_index("log/", "x").put_if("key/a", "3", Expected::Version(first.index));
    let index = elected.commit(epoch, command).await.unwrap().index;
    let view = elected.view().unwrap();
    assert_eq!(view.get(b"key/b").unwrap(), None);
    let listed = view.scan(b"key/", b"log0", 10).unwrap();
    let listed = listed.iter().filter(|(key, _)| key != LEASE_KEY);
    let keys: Vec<_> = listed.map(|(key, stored)| (key.to_vec(), stored.version)).collect();
    let at_index = [b"log/".as_slice(), &index.to_be_bytes()].concat();
    assert_eq!(keys, [(b"key/a".to_vec(), index), (at_index, index)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_over_the_limit_is_refused_before_it_enters_the_log() {
    let cluster = Cluster::start(1, LogOptions::default()).await;
    let (elected, epoch) = cluster.elected().await;
    let refused = elected.commit(epoch, put("key/a", &"x".repeat(9 << 20))).await;
    assert!(matches!(refused, Err(CommitError::Unavailable { .. })));
    elected.commit(epoch, put("key/a", &"x".repeat(7 << 20))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_does_not_move_while_commands_apply() {
    let cluster = Cluster::start(1, LogOptions::default()).await;
    let (elected, epoch) = cluster.elected().await;
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
    let before = elected.view().unwrap();
    elected.commit(epoch, put("key/a", "2")).await.unwrap();
    assert_eq!(before.get(b"key/a").unwrap().unwrap().value, "1");
    assert_eq!(elected.view().unwrap().get(b"key/a").unwrap().unwrap().value, "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_elected_master_dies_another_serves_in_a_later_epoch() {
    let mut cluster = Cluster::start(3, LogOptions::default()).await;
    let index = cluster.commit(put("key/a", "1")).await;
    let (elected, epoch) = cluster.elected().await;
    let dead = cluster.number_of(&elected);
    drop(elected);
    let killed = Instant::now();
    cluster.kill(dead).await;
    let (successor, later) = cluster.elected_after(epoch).await;
    println!("another master served {:?} after the kill", killed.elapsed());
    cluster.without_elections();
    assert!(successor.view().unwrap().applied_index() >= index);
    assert_eq!(successor.view().unwrap().get(b"key/a").unwrap().unwrap().value, "1");
    assert_eq!(successor.commit(epoch, put("key/a", "old")).await, Err(CommitError::Deposed));
    successor.commit(later, put("key/a", "2")).await.unwrap();

    cluster.restart(dead).await;
    let restarted = cluster.store(dead);
    restarted.wait_applied(successor.view().unwrap().applied_index()).await;
    assert_eq!(restarted.view().unwrap().get(b"key/a").unwrap().unwrap().value, "2");
    assert!(matches!(restarted.commit(later, put("key/a", "3")).await, Err(CommitError::Unavailable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minority_commits_nothing() {
    let mut cluster = Cluster::start(3, LogOptions::default()).await;
    let (elected, epoch) = cluster.elected().await;
    let leader = cluster.number_of(&elected);
    for number in (0..3).filter(|number| *number != leader) {
        cluster.kill(number).await;
    }
    let mut standing = elected.standing();
    standing.wait_for(|standing| elected_of(standing).is_none()).await.unwrap();
    let refused = elected.commit(epoch, put("key/a", "1")).await;
    let refused = refused.expect_err("committed without a majority");
    assert!(matches!(refused, CommitError::Unavailable { .. } | CommitError::OutcomeUnknown { .. }), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_there_after_all_masters_died() {
    let mut cluster = Cluster::start(3, LogOptions::default()).await;
    for number in 0..20 {
        cluster.commit(put(&format!("key/{number:02}"), "1")).await;
    }
    let (elected, epoch) = cluster.elected().await;
    let id = elected.cluster();
    drop(elected);
    for number in 0..3 {
        cluster.kill(number).await;
    }
    for number in 0..3 {
        cluster.restart(number).await;
    }
    let (elected, _) = cluster.elected_after(epoch).await;
    assert_eq!(elected.view().unwrap().scan(b"key/", b"key0", 100).unwrap().len(), 20);
    assert_eq!(elected.cluster(), id);
    cluster.commit(put("key/00", "2")).await;
}

/// How long it takes from the stop of an elected master until another serves.
async fn graceful_stop() -> Duration {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
    let stopping = Instant::now();
    elected.shutdown().await;
    let (successor, later) = cluster.elected_after(epoch).await;
    let took = stopping.elapsed();
    println!("another master served {took:?} after the stop began");
    successor.commit(later, put("key/a", "2")).await.unwrap();
    took
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_stops_hands_over_at_once() {
    // The machine may stand still for a moment itself; a lease that has to run out takes two minutes every time.
    let mut all = Vec::new();
    while all.len() < 3 && all.iter().all(|took| *took >= Duration::from_secs(1)) {
        all.push(graceful_stop().await);
    }
    assert!(all.iter().any(|took| *took < Duration::from_secs(1)), "graceful stops cost {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_catches_up_by_a_snapshot_when_the_log_is_purged() {
    let mut cluster = Cluster::start_with(3, FEW_ENTRIES, LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let leader = cluster.number_of(&elected);
    let absent = (leader + 1) % 3;
    cluster.kill(absent).await;
    let mut index = 0;
    let mut written = 0;
    while written < 100 || elected.group().purged_index() < 50 {
        index = elected.commit(epoch, put(&format!("key/{written:06}"), "1")).await.unwrap().index;
        written += 1;
    }
    cluster.restart(absent).await;
    let follower = cluster.store(absent);
    follower.wait_applied(index).await;
    assert_eq!(follower.view().unwrap().scan(b"key/", b"key0", usize::MAX).unwrap().len(), written);
    assert!(cluster.states(absent) > 1, "caught up without a snapshot");

    // What came as a snapshot is as durable as what came as entries.
    drop(follower);
    cluster.kill(absent).await;
    cluster.restart(absent).await;
    assert_eq!(cluster.store(absent).view().unwrap().scan(b"key/", b"key0", usize::MAX).unwrap().len(), written);
}

/// How long one command takes, and so many at once.
async fn one_and_many(elected: &Arc<ReplicatedStore>, epoch: Epoch, commands: u32) -> (Duration, Duration) {
    let one = Instant::now();
    elected.commit(epoch, put("key/a", "1")).await.unwrap();
    let one = one.elapsed();
    let many = Instant::now();
    let tasks: Vec<_> = (0..commands)
        .map(|number| {
            let store = Arc::clone(elected);
            tokio::spawn(async move { store.commit(epoch, put(&format!("key/{number}"), "1")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    (one, many.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn proposals_made_at_the_same_time_share_writes_to_the_log() {
    const COMMANDS: u32 = 2000;
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    // The machine may stand still for a moment; commands that share nothing are slow every time.
    for _ in 0..3 {
        let (one, many) = one_and_many(&elected, epoch, COMMANDS).await;
        println!("one command {one:?}; {COMMANDS} at once {many:?}");
        if many < one * COMMANDS / 4 {
            return;
        }
    }
    panic!("{COMMANDS} commands one after the other?");
}

/// The first refusal: a master that has not heard yet that the group is committed cannot know its disks.
async fn refusal_of_a_vote(cluster: &Cluster, header: &wire::RaftHeader) -> tonic::Status {
    let refused = async {
        loop {
            match cluster.ask_for_vote(0, header.clone()).await {
                Err(refused) => break refused,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.unwrap_or_else(|_| panic!("{header:?} is not refused"))
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_for_others_and_from_other_clusters_are_refused() {
    let cluster = Cluster::start(3, LogOptions::default()).await;
    cluster.elected().await;
    let good = cluster.header(1, 0);
    cluster.ask_for_vote(0, good.clone()).await.unwrap();
    cluster.ask_for_vote(0, wire::RaftHeader { cluster: Bytes::new(), ..good.clone() }).await.unwrap();
    let other = |id: MasterId| id.to_wire();
    for (bad, code) in [
        (wire::RaftHeader { target: 2, ..good.clone() }, Code::InvalidArgument),
        (wire::RaftHeader { cluster: ClusterId::generate().to_wire(), ..good.clone() }, Code::PermissionDenied),
        (wire::RaftHeader { target_disk: Bytes::new(), ..good.clone() }, Code::InvalidArgument),
        (wire::RaftHeader { target_disk: other(MasterId::generate()), ..good.clone() }, Code::FailedPrecondition),
        (wire::RaftHeader { sender_disk: Bytes::new(), ..good.clone() }, Code::InvalidArgument),
        (wire::RaftHeader { sender_disk: other(MasterId::generate()), ..good.clone() }, Code::FailedPrecondition),
    ] {
        let refused = refusal_of_a_vote(&cluster, &bad).await;
        assert_eq!(refused.code(), code, "{bad:?}: {refused}");
    }
}

#[tokio::test]
async fn the_store_in_memory_keeps_the_same_rules() {
    let store = MemoryStore::elected();
    let index = store.commit(Epoch(1), put("key/a", "1")).await.unwrap().index;
    let mut command = Command::new();
    command.put("key/b", "2").require("key/a", Expected::Version(index + 7));
    assert_eq!(store.commit(Epoch(1), command).await, Err(CommitError::ConditionFailed { operation: 1 }));
    assert_eq!(store.commit(Epoch(2), put("key/b", "2")).await, Err(CommitError::Deposed));
    store.depose(Epoch(2));
    assert_eq!(store.commit(Epoch(1), put("key/b", "2")).await, Err(CommitError::Deposed));
    assert!(matches!(*store.standing().borrow(), Standing::Elected { epoch: Epoch(1), .. }));
    assert_eq!(store.view().unwrap().scan(b"", b"z", 10).unwrap().len(), 2);
}
