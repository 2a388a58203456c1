//! Nodes in the place of lost ones.

use std::collections::HashSet;

use bytes::Bytes;
use cairn_proto::ids::{NodeId, SessionId, TransactionId};
use cairn_proto::{Refusal, wire};

use super::{named, nodes_of};
use crate::failure::Failure;
use crate::fakes::{World, refusal};

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

/// Asks for a node in place of the first of these.
async fn replace(
    world: &World,
    session: SessionId,
    opened: &wire::OpenTransactionResponse,
) -> Result<wire::NodeInfo, Failure> {
    let request = wire::ReplaceTargetRequest {
        open: Some(named(session, 1, opened, false)),
        kept_nodes: opened.targets[1..].iter().map(|target| target.id.clone()).collect(),
        avoid_nodes: Vec::new(),
    };
    world.tenure.replace_target(request.try_into().unwrap()).await.map(|answer| answer.target.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_lost_node_is_replaced_by_one_that_has_no_chunk_and_admitted_the_session() {
    let world = World::new(8).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let target = replace(&world, session, &opened).await.unwrap();
    assert!(!nodes_of(&opened).contains(&target.id));
    world.nodes.with(target.id[0], |node| {
        assert!(node.admitted.contains(&session));
        assert_eq!(target.boot, node.boot.to_wire());
    });
    let reserved = world.tenure.transactions().reserved_bytes(NodeId::from_wire(&target.id).unwrap());
    assert_eq!(reserved, 100_000, "as much as was sent to the others");
}

#[tokio::test(start_paused = true)]
async fn the_next_master_replaces_what_it_did_not_open() {
    let world = World::new(7).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let world = world.elect_again().await;
    let target = replace(&world, session, &opened).await.unwrap();
    assert!(!nodes_of(&opened).contains(&target.id));
    let open = world.tenure.transactions().get(TransactionId { session, sequence: 1 }).unwrap();
    let places: HashSet<Bytes> = open.places.iter().map(|place| place.node.to_wire()).collect();
    assert_eq!(places, (1..=7).map(|number| id(number).to_wire()).collect());
}

/// What a commit does not name of what was written to is cleared: chunks of lost nodes and of replacements that were
/// lost themselves.
#[tokio::test(start_paused = true)]
async fn what_lies_at_the_lost_node_is_garbage_after_the_commit() {
    let world = World::new(7).await;
    let session = world.session().await;
    let mut opened = world.open(session, 1, "a", false).await.unwrap();
    let target = replace(&world, session, &opened).await.unwrap();
    opened.targets[0] = target;
    let request = world.written(session, 1, "a", &opened, 20_000);
    world.tenure.blobs().commit(request).await.unwrap();
    assert_eq!(world.count(crate::keys::GARBAGE), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_admit_is_passed_over() {
    let world = World::new(8).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let free: Vec<u8> = (1..=8).filter(|number| !nodes_of(&opened).contains(&id(*number).to_wire())).collect();
    world.nodes.with(free[0], |node| node.up = false);
    assert_eq!(replace(&world, session, &opened).await.unwrap().id, id(free[1]).to_wire());
}

#[tokio::test(start_paused = true)]
async fn without_another_node_it_is_refused() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let refused = refusal(replace(&world, session, &opened).await);
    assert!(matches!(refused, Refusal::TooFewNodes { .. }), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_ended_gets_no_node() {
    let world = World::new(8).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let abort = wire::AbortTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        segment: opened.segment.clone(),
        nodes: Vec::new(),
    };
    world.tenure.abort_transaction(abort.try_into().unwrap()).await.unwrap();
    let refused = refusal(replace(&world, session, &opened).await);
    assert!(matches!(refused, Refusal::InvalidRequest { .. }), "{refused}");
    world.tenure.close_session(session).await.unwrap();
    let refused = refusal(replace(&world, session, &opened).await);
    assert_eq!(refused, Refusal::SessionExpired { session: session.to_string() });
}
