//! What is swept, and what is kept although no segment names it yet.

use std::time::Duration;

use cairn_proto::ids::{NodeId, SegmentId, SessionId};
use cairn_proto::records::ChunkPlace;
use cairn_proto::wire;

use crate::fakes::World;
use crate::garbage::place_record;
use crate::keys;
use crate::records::RepairRecord;
use crate::state::encode;
use crate::store::{Command, Epoch, Store};

/// Every page of every node that is due, then a round of the collection, which deletes what was condemned.
async fn sweep(world: &World) {
    let mut sweep = world.tenure.orphan_sweep().unwrap();
    while sweep.round().await.unwrap() {}
    world.tenure.collection().round().await.unwrap();
}

/// Puts a sealed chunk on a node that no master knows of.
fn plant(world: &World, number: u8, session: SessionId) -> SegmentId {
    let id = SegmentId::generate();
    world.nodes.with(number, |node| node.sealed.insert(id, session));
    id
}

fn segment(request: &wire::CommitBlobRequest) -> SegmentId {
    SegmentId::from_wire(&request.sealed.as_ref().unwrap().id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_no_segment_names_goes_and_what_one_names_stays() {
    let world = World::new(6).await;
    let session = world.session().await;
    let named = segment(&world.put(session, 1, "a").await);
    let orphans: Vec<SegmentId> = (1..=6).map(|node| plant(&world, node, SessionId(999))).collect();
    sweep(&world).await;
    assert!(orphans.iter().all(|orphan| world.nodes.holders(*orphan) == 0));
    assert_eq!((world.nodes.holders(named), world.count(keys::GARBAGE)), (6, 0));
    assert_eq!(world.count(b"job/"), 0, "the round is over");
}

#[tokio::test(start_paused = true)]
async fn what_a_record_names_and_its_node_does_not_list_is_made_there() {
    let world = World::new(6).await;
    let session = world.session().await;
    let mut ids = Vec::new();
    for sequence in 1..=5 {
        ids.push(segment(&world.put(session, sequence, &format!("key {sequence}")).await));
    }
    for (lost, node) in [(ids[0], 2), (ids[3], 2), (ids[4], 5)] {
        world.nodes.with(node, |node| node.sealed.remove(&lost));
    }
    sweep(&world).await;
    world.tenure.reconstruction().round().await.unwrap();
    assert_eq!(ids.iter().map(|id| world.nodes.holders(*id)).collect::<Vec<_>>(), [6; 5]);
    assert_eq!(world.tenure.reconstruction().report().rebuilt_chunks, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_live_session_may_still_commit_stays_until_it_is_aborted_or_over() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let request = world.written(session, 1, "a", &opened, 20_000);
    let (open, aborted) = (segment(&request), plant(&world, 2, session));
    let mut command = Command::new();
    command.put(keys::aborted(session, aborted), encode(&crate::records::GarbageRecord::default()));
    world.store.commit(Epoch(1), command).await.unwrap();
    sweep(&world).await;
    assert_eq!((world.nodes.holders(open), world.nodes.holders(aborted)), (6, 0));
    world.tenure.blobs().commit(request).await.unwrap();
    sweep(&world).await;
    assert_eq!(world.nodes.holders(open), 6);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_was_committed_without_this_node_goes_though_its_session_lives() {
    let world = World::new(7).await;
    let session = world.session().await;
    let named = segment(&world.put(session, 1, "a").await);
    let holders: Vec<u8> =
        (1..=7).filter(|number| world.nodes.with(*number, |node| node.sealed.contains_key(&named))).collect();
    let stray = (1..=7).find(|number| !holders.contains(number)).unwrap();
    world.nodes.seal(named, session, &[NodeId::from_bytes([stray; 16])]);
    sweep(&world).await;
    assert_eq!(world.nodes.holders(named), 6);
    assert!(!world.nodes.with(stray, |node| node.sealed.contains_key(&named)));
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_being_rebuilt_stays() {
    let world = World::new(6).await;
    let rebuilt = plant(&world, 3, SessionId(u64::MAX));
    let place =
        ChunkPlace { node: NodeId::from_bytes([3; 16]), incarnation: world.nodes.with(3, |node| node.incarnation) };
    let record = RepairRecord { chunks: vec![1], target: Some(place_record(place)), ..RepairRecord::default() };
    let mut command = Command::new();
    command.put(keys::repair(rebuilt), encode(&record));
    world.store.commit(Epoch(1), command).await.unwrap();
    sweep(&world).await;
    assert_eq!(world.nodes.holders(rebuilt), 1);
    let mut command = Command::new();
    command.delete(keys::repair(rebuilt));
    world.store.commit(Epoch(1), command).await.unwrap();
    sweep(&world).await;
    assert_eq!(world.nodes.holders(rebuilt), 0);
}

#[tokio::test(start_paused = true)]
async fn the_next_master_goes_on_where_the_sweep_was() {
    let world = World::new(3).await;
    let mut orphans: Vec<SegmentId> = (0..7).map(|_| plant(&world, 2, SessionId(999))).collect();
    // Two chunks a page: one page of the first node, which has nothing, and one of the second.
    let mut begun = world.tenure.orphan_sweep().unwrap();
    assert!(begun.round().await.unwrap() && begun.round().await.unwrap());
    assert_eq!((world.count(b"job/"), world.count(keys::GARBAGE)), (1, 2));
    let world = world.elect_again().await;
    let late = plant(&world, 1, SessionId(999));
    sweep(&world).await;
    assert!(orphans.drain(..).all(|orphan| world.nodes.holders(orphan) == 0));
    assert_eq!(world.nodes.holders(late), 1, "the first node was done");
    assert_eq!(world.count(b"job/"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_is_swept_when_it_is_back() {
    let world = World::new(3).await;
    let orphans = [1, 2, 3].map(|node| plant(&world, node, SessionId(999)));
    world.nodes.with(1, |node| node.up = false);
    let mut job = world.tenure.orphan_sweep().unwrap();
    while job.round().await.unwrap() {}
    world.tenure.collection().round().await.unwrap();
    assert_eq!(orphans.map(|orphan| world.nodes.holders(orphan)), [1, 0, 0]);
    world.nodes.with(1, |node| node.up = true);
    tokio::time::advance(Duration::from_secs(10)).await;
    world.hear_nodes().await;
    while job.round().await.unwrap() {}
    world.tenure.collection().round().await.unwrap();
    assert_eq!(orphans.map(|orphan| world.nodes.holders(orphan)), [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_period_passes_between_two_rounds() {
    let world = World::new(2).await;
    let mut job = world.tenure.orphan_sweep().unwrap();
    while job.round().await.unwrap() {}
    plant(&world, 1, SessionId(999));
    assert!(!job.round().await.unwrap());
    tokio::time::advance(Duration::from_hours(24)).await;
    world.hear_nodes().await;
    assert!(job.round().await.unwrap());
    assert_eq!(world.count(keys::GARBAGE), 1);
}
