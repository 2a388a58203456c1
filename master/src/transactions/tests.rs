//! Opening transactions: who gets which nodes, what is refused, and what an election forgets.

mod replacing;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::{BootId, NodeId, SegmentId, SessionId, TransactionId};
use cairn_proto::{Refusal, wire};

use super::OpenRequest;
use crate::fakes::{World, refusal};

fn nodes_of(opened: &wire::OpenTransactionResponse) -> HashSet<Bytes> {
    opened.targets.iter().map(|target| target.id.clone()).filter(|id| !id.is_empty()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_transaction_gets_distinct_nodes_that_admitted_its_session() {
    let world = World::new(8).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    assert_eq!((opened.targets.len(), nodes_of(&opened).len()), (6, 6));
    for target in &opened.targets {
        world.nodes.with(target.id[0], |node| {
            assert!(node.admitted.contains(&session));
            assert_eq!(target.boot, node.boot.to_wire());
            assert_eq!(target.incarnation, node.incarnation.to_wire());
        });
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_transaction_gets_the_same_answer() {
    let world = World::new(8).await;
    let session = world.session().await;
    let first = world.open(session, 1, "a", true).await.unwrap();
    assert_eq!(world.open(session, 1, "a", true).await.unwrap(), first);
    assert_eq!(world.tenure.transactions().len(), 1);
    assert!(matches!(refusal(world.open(session, 1, "b", false).await), Refusal::InvalidRequest { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_session_is_admitted_once_for_each_boot() {
    let world = World::new(6).await;
    let session = world.session().await;
    for sequence in 1..=5 {
        world.open(session, sequence, "a", false).await.unwrap();
    }
    world.nodes.with(1, |node| assert_eq!(node.admissions_asked, 1));
    world.nodes.with(1, |node| node.boot = BootId::generate());
    world.hear_nodes().await;
    let opened = world.open(session, 6, "a", false).await.unwrap();
    world.nodes.with(1, |node| assert_eq!(node.admissions_asked, 2));
    let boot = world.nodes.with(1, |node| node.boot.to_wire());
    assert!(opened.targets.iter().any(|target| target.boot == boot));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_admit_in_time_is_replaced_or_becomes_a_hole() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.nodes.with(1, |node| node.stuck = true);
    let start = tokio::time::Instant::now();
    let opened = world.open(session, 1, "a", false).await.unwrap();
    assert_eq!(nodes_of(&opened).len(), 6);
    assert!(!nodes_of(&opened).contains(&NodeId::from_bytes([1; 16]).to_wire()));
    assert!(start.elapsed() <= Duration::from_secs(2));
    world.nodes.with(2, |node| node.up = false);
    let opened = world.open(world.session().await, 1, "a", false).await.unwrap();
    assert_eq!(nodes_of(&opened).len(), 5);
    assert!(opened.targets[3].id.is_empty(), "the hole is the highest data chunk");
}

#[tokio::test(start_paused = true)]
async fn with_too_few_nodes_opening_is_refused_at_once_naming_them() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.nodes.with(3, |node| node.up = false);
    world.nodes.with(5, |node| node.refusing_writes = "full".to_owned());
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
    let refused = refusal(world.open(session, 1, "a", false).await);
    assert_eq!(
        refused,
        Refusal::TooFewNodes {
            needed: "5".into(),
            serving: "4".into(),
            missing: "node-3 (dead), node-5 (full)".into()
        }
    );
}

#[tokio::test(start_paused = true)]
async fn full_nodes_are_no_space_and_reservations_count() {
    let world = World::new(6).await;
    let session = world.session().await;
    for number in 1..=6 {
        world.nodes.with(number, |node| node.limit_bytes = 2 * 4096);
    }
    world.hear_nodes().await;
    world.open(session, 1, "a", false).await.unwrap();
    world.open(session, 2, "b", false).await.unwrap();
    assert!(matches!(refusal(world.open(session, 3, "c", false).await), Refusal::NoSpace { .. }));
    world.tenure.transactions().remove_session(session);
    world.open(session, 4, "c", false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nodes_that_refuse_because_they_are_full_are_no_space_either() {
    let world = World::new(6).await;
    let session = world.session().await;
    for number in 1..=2 {
        world.nodes.with(number, |node| {
            node.limit_bytes = 1 << 20;
            node.refusing_writes = "its limit is used".to_owned();
        });
    }
    world.hear_nodes().await;
    assert!(matches!(refusal(world.open(session, 1, "a", false).await), Refusal::NoSpace { .. }));
}

#[tokio::test(start_paused = true)]
async fn preconditions_are_checked_when_opening() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    assert_eq!(refusal(world.open(session, 2, "a", true).await), Refusal::KeyExists { key: "a".into() });
    assert!(world.open(session, 3, "b", true).await.is_ok());
    let other = world.session().await;
    assert_eq!(refusal(world.open(other, 1, "b", true).await), Refusal::KeyExists { key: "b".into() });
    world.tenure.close_session(session).await.unwrap();
    assert!(world.open(other, 1, "b", true).await.is_ok(), "the name is free when its holder is gone");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_opens_nothing() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.tenure.close_session(session).await.unwrap();
    let refused = refusal(world.open(session, 1, "a", false).await);
    assert_eq!(refused, Refusal::SessionExpired { session: session.to_string() });
    assert!(world.tenure.transactions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nodes_to_avoid_are_avoided_where_others_serve() {
    let world = World::new(6).await;
    let session = world.session().await;
    let request = |sequence, avoid: &[u8]| wire::OpenTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence }),
        key: "a".into(),
        precondition: None,
        layout: None,
        avoid_nodes: avoid.iter().map(|number| NodeId::from_bytes([*number; 16]).to_wire()).collect(),
        ..Default::default()
    };
    let opened = world.tenure.open_transaction(request(1, &[4]).try_into().unwrap()).await.unwrap();
    assert!(!nodes_of(&opened).contains(&NodeId::from_bytes([4; 16]).to_wire()));
    let opened = world.tenure.open_transaction(request(2, &[1, 2, 3]).try_into().unwrap()).await.unwrap();
    assert_eq!(nodes_of(&opened).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn further_transactions_have_segments_and_room_of_their_own_and_hold_no_name() {
    let world = World::new(6).await;
    let session = world.session().await;
    let absent = wire::Precondition { condition: Some(wire::precondition::Condition::Absent(wire::Absent {})) };
    let request = |further| wire::OpenTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        key: "a".into(),
        precondition: Some(absent.clone()),
        further,
        ..Default::default()
    };
    let refused = OpenRequest::try_from(request(17));
    assert!(matches!(refused, Err(Refusal::InvalidRequest { .. })));
    let opened = world.tenure.open_transaction(request(3).try_into().unwrap()).await.unwrap();
    assert_eq!(opened.further.len(), 3);
    let mut segments: HashSet<_> = opened.further.iter().map(|further| further.segment.clone()).collect();
    segments.insert(opened.segment.clone());
    assert_eq!(segments.len(), 4);
    let node = NodeId::from_bytes([1; 16]);
    let one = world.tenure.transactions().reserved_bytes(node) / 4;
    assert!(one > 0);
    // The first ends: its name is free, the others stay.
    world.tenure.transactions().remove(TransactionId { session, sequence: 1 });
    world.open(session, 5, "a", true).await.unwrap();
    assert_eq!(world.tenure.transactions().reserved_bytes(node), 4 * one);
    let again = world.tenure.open_transaction(request(3).try_into().unwrap()).await;
    assert!(matches!(again, Err(crate::failure::Failure::Refused(Refusal::KeyExists { .. }))));
}

fn named(
    session: SessionId,
    sequence: u64,
    opened: &wire::OpenTransactionResponse,
    exclusive: bool,
) -> wire::OpenTransactionState {
    wire::OpenTransactionState {
        transaction: Some(wire::TransactionId { session: session.0, sequence }),
        segment: opened.segment.clone(),
        nodes: opened.targets.iter().map(|target| target.id.clone()).collect(),
        sent_bytes_per_node: 100_000,
        key: "a".into(),
        exclusive,
    }
}

fn heartbeat(session: SessionId, transactions: Vec<wire::OpenTransactionState>) -> wire::HeartbeatRequest {
    wire::HeartbeatRequest { session: session.0, transactions, open_segments: Vec::new(), as_of_index: 0 }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_tell_the_next_master_what_is_open() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", true).await.unwrap();
    let world = world.elect_again().await;
    assert!(world.tenure.transactions().is_empty());
    world.tenure.heartbeat(heartbeat(session, vec![named(session, 1, &opened, true)])).unwrap();
    let node = NodeId::from_wire(&opened.targets[0].id).unwrap();
    assert_eq!(world.tenure.transactions().reserved_bytes(node), 100_000);
    let other = world.session().await;
    assert_eq!(refusal(world.open(other, 1, "a", true).await), Refusal::KeyExists { key: "a".into() });
    tokio::time::advance(Duration::from_secs(6)).await;
    world.tenure.heartbeat(heartbeat(session, Vec::new())).unwrap();
    assert_eq!(world.tenure.transactions().reserved_bytes(node), 0);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_older_than_the_commit_opens_nothing_again() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let request = world.written(session, 1, "a", &opened, 9000);
    world.tenure.blobs().commit(request).await.unwrap();
    world.tenure.heartbeat(heartbeat(session, vec![named(session, 1, &opened, false)])).unwrap();
    assert!(world.tenure.transactions().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_session_names_only_its_own_transactions() {
    let world = World::new(6).await;
    let (session, other) = (world.session().await, world.session().await);
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let foreign = heartbeat(other, vec![named(session, 1, &opened, false)]);
    assert!(matches!(refusal(world.tenure.heartbeat(foreign)), Refusal::InvalidRequest { .. }));
    let abort = wire::AbortTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        segment: SegmentId::generate().to_wire(),
        nodes: Vec::new(),
    };
    let refused = refusal(world.tenure.abort_transaction(abort.try_into().unwrap()).await);
    assert!(matches!(refused, Refusal::InvalidRequest { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn copies_go_once_into_each_remote_datacenter_and_other_chunks_are_sent() {
    let world = World::new(0).await;
    let label = |value: &str| wire::Label { key: "datacenter".to_owned(), value: value.to_owned() };
    for number in 1..=6_u8 {
        let mut info = world.nodes.add(number);
        info.locality = vec![label(["a", "b", "c"][usize::from(number) % 3])];
        world.tenure.nodes().join(None, info).await.unwrap();
    }
    world.hear_nodes().await;
    let session = world.session().await;
    let request = |sequence, data, code| wire::OpenTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence }),
        key: "a".into(),
        layout: Some(wire::Layout { data, code, cell_size_bytes: 65_536, stripe_size_bytes: 64 << 20 }),
        locality: vec![label("a")],
        further: 1,
        ..Default::default()
    };
    let opened = world.tenure.open_transaction(request(1, 1, 5).try_into().unwrap()).await.unwrap();
    for (targets, relayed) in
        [(&opened.targets, &opened.relayed), (&opened.further[0].targets, &opened.further[0].relayed)]
    {
        assert_eq!(relayed.len(), 2, "{relayed:?}");
        for wire::RelayedChunk { chunk, via_chunk } in relayed {
            let [copy, entry] = [chunk, via_chunk].map(|chunk| &targets[*chunk as usize].locality);
            assert_eq!(copy, entry);
            assert_ne!(copy[0].value, "a");
        }
    }
    let opened = world.tenure.open_transaction(request(9, 4, 2).try_into().unwrap()).await.unwrap();
    assert_eq!(opened.relayed, []);
    let mut hostile = request(11, 1, 5);
    hostile.locality = vec![label("a"); 65];
    assert!(OpenRequest::try_from(hostile).is_err());
}
