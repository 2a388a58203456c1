//! What is collected, when, and what is kept although it looks like garbage.

use std::time::Duration;

use cairn_proto::ids::{IncarnationId, SegmentId, SessionId};
use cairn_proto::wire;

use super::Collection;
use crate::fakes::{World, kept};
use crate::keys;

const GRACE: Duration = Duration::from_secs(11);

fn segment(request: &wire::CommitBlobRequest) -> SegmentId {
    SegmentId::from_wire(&request.sealed.as_ref().unwrap().id).unwrap()
}

/// Rounds of the job around a passing of the grace period, in which the session keeps reporting nothing open.
async fn pass_grace(world: &World, job: &mut Collection, session: SessionId) {
    tokio::time::advance(Duration::from_secs(1)).await;
    job.round().await.unwrap();
    tokio::time::advance(GRACE).await;
    world.hear_nodes().await;
    let _late = world.heartbeat(session);
    job.round().await.unwrap();
    job.round().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deleted_blob_goes_after_the_grace_everywhere() {
    let world = World::new(6).await;
    let session = world.session().await;
    let request = world.put(session, 1, "a").await;
    let mut job = world.tenure.collection();
    world.delete(session, 2, "a").await.unwrap();
    world.heartbeat(session).unwrap();
    job.round().await.unwrap();
    job.round().await.unwrap();
    assert_eq!(world.nodes.holders(segment(&request)), 6, "the grace is not over");
    pass_grace(&world, &mut job, session).await;
    assert_eq!(world.nodes.holders(segment(&request)), 0);
    let left = [keys::BLOBS, keys::SEGMENTS, keys::DELETED, keys::GARBAGE].map(|prefix| world.count(prefix));
    assert_eq!(left, [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_the_masters_keep_goes_without_an_order_to_any_node() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    world.tenure.blobs().commit(kept(session, 1, "a", &opened, b"some bytes")).await.unwrap();
    let mut job = world.tenure.collection();
    world.delete(session, 2, "a").await.unwrap();
    world.heartbeat(session).unwrap();
    pass_grace(&world, &mut job, session).await;
    let left = [keys::BLOBS, keys::SEGMENTS, keys::DELETED, keys::GARBAGE].map(|prefix| world.count(prefix));
    assert_eq!(left, [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_live_blob_is_never_touched() {
    let world = World::new(6).await;
    let session = world.session().await;
    let request = world.put(session, 1, "a").await;
    let mut job = world.tenure.collection();
    pass_grace(&world, &mut job, session).await;
    world.tenure.close_session(session).await.unwrap();
    pass_grace(&world, &mut job, session).await;
    assert_eq!(world.nodes.holders(segment(&request)), 6);
    assert!(world.look_up("a").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_a_client_may_still_read_stays() {
    let world = World::new(6).await;
    let (writer, reader) = (world.session().await, world.session().await);
    let request = world.put(writer, 1, "a").await;
    world.delete(writer, 2, "a").await.unwrap();
    let mut job = world.tenure.collection();
    job.round().await.unwrap();
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(5)).await;
        world.hear_nodes().await;
        world.heartbeat(writer).unwrap();
        world.heartbeat_with(reader, &[segment(&request)]).unwrap();
        job.round().await.unwrap();
    }
    assert_eq!(world.nodes.holders(segment(&request)), 6);
    world.heartbeat(reader).unwrap();
    job.round().await.unwrap();
    assert_eq!(world.nodes.holders(segment(&request)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_not_reported_past_the_deletion_holds_it_up_until_it_ends() {
    let world = World::new(6).await;
    let (writer, silent) = (world.session().await, world.session().await);
    let request = world.put(writer, 1, "a").await;
    world.delete(writer, 2, "a").await.unwrap();
    let mut job = world.tenure.collection();
    pass_grace(&world, &mut job, writer).await;
    assert_eq!(world.nodes.holders(segment(&request)), 6);
    world.tenure.close_session(silent).await.unwrap();
    pass_grace(&world, &mut job, writer).await;
    assert_eq!(world.nodes.holders(segment(&request)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_shared_segment_goes_with_its_last_blob() {
    let world = World::new(6).await;
    let session = world.session().await;
    let first = world.put(session, 1, "a").await;
    let copy = wire::CommitBlobRequest {
        request: Some(wire::RequestId { client: session.0, sequence: 2, lowest_unanswered: 2 }),
        key: "b".into(),
        blob: cairn_proto::ids::BlobId::generate().to_wire(),
        sealed: None,
        ..first.clone()
    };
    world.tenure.blobs().commit(copy).await.unwrap();
    let mut job = world.tenure.collection();
    world.delete(session, 3, "a").await.unwrap();
    pass_grace(&world, &mut job, session).await;
    assert_eq!(world.nodes.holders(segment(&first)), 6);
    assert_eq!(world.look_up("b").await.unwrap().segments[0].uses, 1);
    world.delete(session, 4, "b").await.unwrap();
    pass_grace(&world, &mut job, session).await;
    assert_eq!(world.nodes.holders(segment(&first)), 0);
}

#[tokio::test(start_paused = true)]
async fn garbage_on_a_dead_node_waits_for_it_across_an_election() {
    let world = World::new(6).await;
    let session = world.session().await;
    let request = world.put(session, 1, "a").await;
    world.delete(session, 2, "a").await.unwrap();
    world.nodes.with(4, |node| node.up = false);
    let mut job = world.tenure.collection();
    pass_grace(&world, &mut job, session).await;
    assert_eq!((world.nodes.holders(segment(&request)), world.count(keys::GARBAGE)), (1, 1));
    let world = world.elect_again().await;
    world.nodes.with(4, |node| node.up = true);
    world.hear_nodes().await;
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.nodes.holders(segment(&request)), world.count(keys::GARBAGE)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn garbage_of_an_earlier_life_of_a_node_is_gone_with_it() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.delete(session, 2, "a").await.unwrap();
    world.nodes.with(4, |node| node.incarnation = IncarnationId::generate());
    world.tenure.nodes().join(None, world.nodes.info(4)).await.unwrap();
    let mut job = world.tenure.collection();
    pass_grace(&world, &mut job, session).await;
    assert_eq!(world.count(keys::GARBAGE), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_aborted_transaction_wrote_is_deleted() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", true).await.unwrap();
    let request = world.written(session, 1, "a", &opened, 9000);
    let abort = wire::AbortTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        segment: opened.segment.clone(),
        nodes: Vec::new(),
    };
    world.tenure.abort_transaction(abort.try_into().unwrap()).await.unwrap();
    assert!(world.tenure.transactions().is_empty());
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.nodes.holders(segment(&request)), world.count(keys::GARBAGE)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_is_revoked_and_only_its_uncommitted_segments_go() {
    let world = World::new(6).await;
    let (session, other) = (world.session().await, world.session().await);
    let committed = world.put(session, 1, "a").await;
    let mut orphans = Vec::new();
    for sequence in 2..=6 {
        let opened = world.open(session, sequence, "b", false).await.unwrap();
        orphans.push(segment(&world.written(session, sequence, "b", &opened, 9000)));
    }
    let opened = world.open(other, 1, "c", false).await.unwrap();
    let others = segment(&world.written(other, 1, "c", &opened, 9000));
    tokio::time::advance(Duration::from_secs(11)).await;
    world.hear_nodes().await;
    world.heartbeat(other).unwrap();
    world.tenure.expire_sessions().await.unwrap();
    assert_eq!(world.count(keys::REVOCATIONS), 1);
    world.tenure.collection().round().await.unwrap();
    for orphan in orphans {
        assert_eq!(world.nodes.holders(orphan), 0);
    }
    assert_eq!((world.nodes.holders(segment(&committed)), world.nodes.holders(others)), (6, 6));
    world.nodes.with(1, |node| assert!(node.revoked.contains(&session) && node.admitted.contains(&other)));
    assert_eq!(world.count(keys::REVOCATIONS), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_is_told_of_an_ended_session_by_the_next_master() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let orphan = segment(&world.written(session, 1, "a", &opened, 9000));
    world.nodes.with(2, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(11)).await;
    world.hear_nodes().await;
    world.tenure.expire_sessions().await.unwrap();
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.nodes.holders(orphan), world.count(keys::REVOCATIONS)), (1, 1));
    let world = world.elect_again().await;
    world.nodes.with(2, |node| node.up = true);
    world.hear_nodes().await;
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.nodes.holders(orphan), world.count(keys::REVOCATIONS)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_is_told_of_no_other_session_in_the_same_round() {
    let world = World::new(6).await;
    for _ in 0..5 {
        world.session().await;
    }
    tokio::time::advance(Duration::from_secs(11)).await;
    world.hear_nodes().await;
    world.nodes.with(2, |node| node.up = false);
    world.tenure.expire_sessions().await.unwrap();
    assert_eq!(world.count(keys::REVOCATIONS), 5);
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.nodes.with(2, |node| node.missed_calls), world.nodes.with(3, |node| node.revoked.len())), (1, 5));
    world.nodes.with(2, |node| node.up = true);
    world.tenure.collection().round().await.unwrap();
    assert_eq!(world.count(keys::REVOCATIONS), 0);
}

#[tokio::test(start_paused = true)]
async fn marks_of_aborted_segments_go_with_their_session() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let abort = wire::AbortTransactionRequest {
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        segment: opened.segment,
        nodes: Vec::new(),
    };
    world.tenure.abort_transaction(abort.try_into().unwrap()).await.unwrap();
    assert_eq!(world.count(&keys::aborted_of(session)), 1);
    world.tenure.close_session(session).await.unwrap();
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.count(&keys::aborted_of(session)), world.count(b"client/")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_sealed_too_late_for_the_commit_is_cleared() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let mut request = world.written(session, 1, "a", &opened, 20_000);
    let chunk = &mut request.sealed.as_mut().unwrap().chunks[1];
    (chunk.node, chunk.incarnation) = (bytes::Bytes::new(), bytes::Bytes::new());
    world.tenure.blobs().commit(request.clone()).await.unwrap();
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.nodes.holders(segment(&request)), world.count(keys::GARBAGE)), (5, 0));
}
