//! The elected master and the one that leads Raft are two.

use cairn_proto::ids::CommandId;
use cairn_proto::wire;
use cairn_proto::wire::operation::Operation as WireOperation;
use cairn_proto::wire::propose_response::Outcome;

use super::super::{CommitError, Epoch, LogOptions, ReplicatedStore, Store};
use super::harness::{Cluster, LONG_LEASE, elected_of};
use super::{FEW_ENTRIES, put};

/// A numbered command that adds to a key, as the elected master would forward it.
fn append(elected: &ReplicatedStore, epoch: Epoch, sequence: u64) -> wire::Command {
    let append = wire::Append { key: "key/a".into(), suffix: "x".into() };
    wire::Command {
        leader: elected.master_id().to_wire(),
        lease_epoch: epoch.0,
        command_id: CommandId::generate().to_wire(),
        operations: vec![wire::Operation { operation: Some(WireOperation::Append(append)) }],
        sequence,
        lowest_unanswered: 1,
    }
}

/// What becomes of a command at a master that leads, as soon as it takes one.
async fn taken(cluster: &Cluster, from: usize, to: usize, command: &wire::Command) -> Option<Outcome> {
    loop {
        match cluster.propose(to, cluster.header(from, to), command.clone()).await.unwrap().outcome {
            Some(Outcome::NotTaken(_)) => tokio::task::yield_now().await,
            outcome => return outcome,
        }
    }
}

fn value(store: &ReplicatedStore) -> Vec<u8> {
    store.view().unwrap().get(b"key/a").unwrap().unwrap().value.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_holder_serves_and_keeps_its_lease_while_another_master_leads_raft() {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let holder = cluster.number_of(&elected);
    let version = elected.lease().unwrap().version;
    cluster.lead_raft((holder + 1) % 3).await;
    let mut written = 0;
    while elected.lease().unwrap().version < version + 6 {
        let committed = elected.commit(epoch, put("key/a", &written.to_string())).await.unwrap();
        assert!(elected.view().unwrap().applied_index() >= committed.index);
        assert_eq!(value(&elected), written.to_string().into_bytes());
        written += 1;
    }
    assert!(!*elected.group().leads().borrow(), "the holder leads again: nothing was forwarded");
    assert_eq!(elected_of(&elected.standing().borrow()), Some(epoch));
    assert_eq!(elected.lease().unwrap().epoch, epoch.0, "the lease changed hands");
    println!("{written} commands forwarded while the lease was extended six times");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_deposed_epoch_come_back_from_the_raft_leader() {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    cluster.lead_raft((cluster.number_of(&elected) + 1) % 3).await;
    let mut command = put("key/a", "1");
    command.require("key/b", super::Expected::Present);
    let refused = elected.commit(epoch, command).await;
    assert_eq!(refused, Err(CommitError::ConditionFailed { operation: 1 }));
    let follower = cluster.store((cluster.number_of(&elected) + 2) % 3);
    let refused = follower.commit(epoch, put("key/a", "1")).await;
    assert!(matches!(refused, Err(CommitError::Unavailable { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_comes_again_applies_once_also_by_way_of_another_leader_and_its_snapshot() {
    let mut cluster = Cluster::start_with(3, FEW_ENTRIES, LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    let leader = cluster.number_of(&elected);
    let absent = (leader + 1) % 3;
    cluster.kill(absent).await;
    let command = append(&elected, epoch, 900);
    let first = taken(&cluster, leader, leader, &command).await;
    assert!(matches!(first, Some(Outcome::Applied(_))), "{first:?}");
    assert_eq!(taken(&cluster, leader, leader, &command).await, first);
    let mut index = 0;
    for number in 0.. {
        index = elected.commit(epoch, put(&format!("key/b{number}"), "1")).await.unwrap().index;
        if number >= 50 && elected.group().purged_index() > 50 {
            break;
        }
    }
    cluster.restart(absent).await;
    cluster.store(absent).wait_applied(index).await;
    assert!(cluster.states(absent) > 1, "caught up without a snapshot");

    let refused = cluster.propose(absent, cluster.header(leader, absent), command.clone()).await.unwrap().outcome;
    assert!(matches!(refused, Some(Outcome::NotTaken(_))), "{refused:?}");
    cluster.lead_raft(absent).await;
    assert_eq!(taken(&cluster, leader, absent, &command).await, first);
    assert_eq!(value(&cluster.store(absent)), b"x");
    let answered = append(&elected, epoch, 1);
    assert_eq!(taken(&cluster, leader, absent, &answered).await, Some(Outcome::Answered(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_master_forwards_is_refused() {
    let cluster = Cluster::start(1, LogOptions::default()).await;
    let (elected, epoch) = cluster.steady().await;
    let header = cluster.header(0, 0);
    let good = append(&elected, epoch, 1);
    for bad in [
        wire::Command { sequence: 0, lowest_unanswered: 0, ..good.clone() },
        wire::Command { sequence: 5000, ..good.clone() },
        wire::Command { leader: bytes::Bytes::new(), ..good.clone() },
        wire::Command { leader: cairn_proto::ids::MasterId::generate().to_wire(), ..good.clone() },
        wire::Command { operations: vec![wire::Operation::default()], ..good.clone() },
    ] {
        let refused = cluster.propose(0, header.clone(), bad).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{refused}");
    }
    let deposed = cluster.propose(0, header.clone(), append(&elected, Epoch(epoch.0 + 1), 1)).await.unwrap().outcome;
    assert_eq!(deposed, Some(Outcome::Deposed(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn raft_comes_back_to_the_holder_of_the_lease() {
    let cluster = Cluster::start(3, LogOptions::default()).await;
    let (elected, epoch) = cluster.elected().await;
    let holder = cluster.number_of(&elected);
    cluster.lead_raft((holder + 1) % 3).await;
    cluster.settled(&elected, 3).await;
    assert_eq!(elected_of(&elected.standing().borrow()), Some(epoch));
}
