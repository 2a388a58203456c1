//! What is rebuilt where, what is waited for, and what becomes of chunks that nobody needs any more.

use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::{IncarnationId, NodeId, SegmentId, SessionId};
use cairn_proto::records::ChunkPlace;
use cairn_proto::wire;

use super::planning::{Need, plan_rebuilding, plan_repointing};
use crate::fakes::World;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::{Flaw, PlaceStanding};
use crate::store::Epoch;

const DEAD: Duration = Duration::from_secs(6);

/// Waits, hears the nodes, and repairs what can be repaired.
async fn after(world: &World, time: Duration) {
    tokio::time::advance(time).await;
    world.hear_nodes().await;
    world.tenure.reconstruction().round().await.unwrap();
}

async fn segment_of(world: &World, key: &str) -> wire::Segment {
    world.look_up(key).await.unwrap().segments.remove(0)
}

fn nodes_of(segment: &wire::Segment) -> Vec<u8> {
    let mut nodes: Vec<u8> = segment.chunks.iter().filter_map(|chunk| chunk.node.first().copied()).collect();
    nodes.sort_unstable();
    nodes
}

fn id_of(segment: &wire::Segment) -> SegmentId {
    SegmentId::from_wire(&segment.id).unwrap()
}

/// Commits a blob whose chunk 1 is a hole; what may lie at the node it was meant for is cleared.
async fn put_with_hole(world: &World, session: SessionId, key: &str) {
    let mut opened = world.open(session, 1, key, false).await.unwrap();
    opened.targets[1] = wire::NodeInfo::default();
    let request = world.written(session, 1, key, &opened, 20_000);
    world.tenure.blobs().commit(request).await.unwrap();
    world.tenure.collection().round().await.unwrap();
    assert_eq!(world.count(keys::GARBAGE), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_filled_at_once() {
    let world = World::new(6).await;
    let session = world.session().await;
    put_with_hole(&world, session, "a").await;
    assert_eq!(nodes_of(&segment_of(&world, "a").await).len(), 5);
    world.tenure.reconstruction().round().await.unwrap();
    let segment = segment_of(&world, "a").await;
    assert_eq!((nodes_of(&segment), segment.version), (vec![1, 2, 3, 4, 5, 6], 2));
    assert_eq!((world.count(keys::REPAIRS), world.tenure.reconstruction().pending()), (0, 0));
    assert_eq!(world.nodes.holders(id_of(&segment)), 6);
}

#[tokio::test(start_paused = true)]
async fn chunks_of_a_dead_node_are_made_elsewhere_and_its_own_cleared_when_it_is_back() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let before = nodes_of(&segment_of(&world, "a").await);
    let (dead, spare) = (before[2], (1..=7).find(|number| !before.contains(number)).unwrap());
    world.nodes.with(dead, |node| node.up = false);
    after(&world, Duration::from_secs(3)).await;
    assert_eq!(nodes_of(&segment_of(&world, "a").await), before, "it is not dead yet");
    after(&world, DEAD).await;
    let segment = segment_of(&world, "a").await;
    assert!(nodes_of(&segment).contains(&spare) && !nodes_of(&segment).contains(&dead));
    assert_eq!(world.nodes.holders(id_of(&segment)), 7);
    world.nodes.with(dead, |node| node.up = true);
    after(&world, Duration::from_secs(1)).await;
    world.heartbeat(session).unwrap();
    world.tenure.collection().round().await.unwrap();
    assert_eq!(world.nodes.holders(id_of(&segment)), 6);
    assert_eq!((world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn without_a_free_node_it_waits_and_a_node_that_returns_needs_no_repair() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let before = segment_of(&world, "a").await;
    world.nodes.with(3, |node| node.up = false);
    after(&world, DEAD).await;
    assert_eq!((segment_of(&world, "a").await, world.tenure.reconstruction().pending()), (before.clone(), 1));
    world.nodes.with(3, |node| node.up = true);
    after(&world, Duration::from_secs(10)).await;
    assert_eq!((segment_of(&world, "a").await, world.tenure.reconstruction().pending()), (before, 0));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lost_its_data_gets_its_chunks_again_without_any_grace() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.nodes.with(4, |node| {
        node.incarnation = IncarnationId::generate();
        node.sealed.clear();
    });
    world.tenure.nodes().join(None, world.nodes.info(4)).await.unwrap();
    after(&world, Duration::from_secs(1)).await;
    let segment = segment_of(&world, "a").await;
    assert_eq!(nodes_of(&segment), [1, 2, 3, 4, 5, 6]);
    assert_eq!(world.nodes.holders(id_of(&segment)), 6);
    assert_eq!(world.tenure.status().await.unwrap().redundancy, [wire::RedundancyCount { spare_chunks: 2, blobs: 1 }]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_make_it_is_given_up_and_cleared() {
    let world = World::new(8).await;
    let session = world.session().await;
    put_with_hole(&world, session, "a").await;
    let kept = nodes_of(&segment_of(&world, "a").await);
    let free: Vec<u8> = (1..=8).filter(|number| !kept.contains(number)).collect();
    for number in &free[1..] {
        world.nodes.with(*number, |node| node.fails_rebuilds = true);
    }
    // Of those that are free, one is drawn for each attempt, and not the one that failed just before.
    for _ in 0..20 {
        after(&world, Duration::from_secs(6)).await;
        world.heartbeat(session).unwrap();
        if nodes_of(&segment_of(&world, "a").await).len() == 6 {
            break;
        }
    }
    let segment = segment_of(&world, "a").await;
    assert!(nodes_of(&segment).contains(&free[0]), "{:?} of {free:?}", nodes_of(&segment));
    world.tenure.collection().round().await.unwrap();
    assert_eq!((world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0));
    assert_eq!(world.nodes.holders(id_of(&segment)), 6, "nothing is left where it failed");
}

#[tokio::test(start_paused = true)]
async fn a_repair_that_breaks_off_is_tried_again_without_a_survey() {
    let world = World::new(6).await;
    let session = world.session().await;
    put_with_hole(&world, session, "a").await;
    let job = world.tenure.reconstruction();
    job.look(&mut Bytes::from_static(keys::REPAIRS)).await.unwrap();
    let id = job.take().unwrap();
    world.store.depose(Epoch(2));
    assert!(job.clone().repair(id).await.is_err());
    world.store.depose(Epoch(1));
    assert_eq!((job.take(), job.pending()), (None, 1));
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
    assert_eq!(job.take(), Some(id));
    job.clone().repair(id).await.unwrap();
    assert_eq!(nodes_of(&segment_of(&world, "a").await), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_waits_until_its_nodes_are_back() {
    let world = World::new(9).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let before = nodes_of(&segment_of(&world, "a").await);
    for number in &before[..3] {
        world.nodes.with(*number, |node| node.up = false);
    }
    after(&world, DEAD).await;
    assert_eq!(
        (nodes_of(&segment_of(&world, "a").await), world.tenure.reconstruction().pending()),
        (before.clone(), 1)
    );
    world.nodes.with(before[0], |node| node.up = true);
    after(&world, Duration::from_secs(6)).await;
    let healed = nodes_of(&segment_of(&world, "a").await);
    assert!(healed.contains(&before[0]) && !healed.contains(&before[1]) && !healed.contains(&before[2]), "{healed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_blob_deleted_during_its_repair_leaves_nothing() {
    let world = World::new(7).await;
    let session = world.session().await;
    put_with_hole(&world, session, "a").await;
    let id = id_of(&segment_of(&world, "a").await);
    let ledger = Ledger::new(world.store.clone(), Epoch(1));
    let here = |_| PlaceStanding::Present;
    let place = |number: u8| ChunkPlace {
        node: NodeId::from_bytes([number; 16]),
        incarnation: world.nodes.with(number, |node| node.incarnation),
    };
    let used = nodes_of(&segment_of(&world, "a").await);
    let free = (1..=7).find(|number| !used.contains(number)).unwrap();
    let begun = ledger.transact(|session| plan_rebuilding(session, id, here, |_, _, _| Some(place(free)), 1)).await;
    let Need::Rebuild(rebuilding) = begun.unwrap().result else { panic!("it has a hole") };
    world.nodes.seal(id, SessionId(u64::MAX), &[place(free).node]);
    world.delete(session, 2, "a").await.unwrap();
    tokio::time::advance(Duration::from_secs(20)).await;
    let mut collection = world.tenure.collection();
    for _ in 0..4 {
        collection.round().await.unwrap();
        tokio::time::advance(Duration::from_secs(5)).await;
        world.hear_nodes().await;
        world.heartbeat(session).unwrap();
    }
    assert!(!ledger.transact(|session| plan_repointing(session, &rebuilding, here)).await.unwrap().result);
    collection.round().await.unwrap();
    assert_eq!(world.nodes.holders(id), 0);
    assert_eq!((world.count(keys::SEGMENTS), world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0, 0));
}

/// Has nodes say that their chunk of a key's segment is damaged; answers the nodes.
async fn damage_chunks(world: &World, key: &str, chunks: &[usize]) -> Vec<u8> {
    let segment = segment_of(world, key).await;
    let node = |chunk: &usize| segment.chunks[*chunk].node[0];
    for chunk in chunks {
        let index = u32::try_from(*chunk).unwrap();
        world.nodes.with(node(chunk), |node| node.damaged.insert(id_of(&segment), index));
    }
    chunks.iter().map(node).collect()
}

#[tokio::test(start_paused = true)]
async fn damaged_chunks_are_put_right_where_they_are() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let before = segment_of(&world, "a").await;
    let damaged = damage_chunks(&world, "a", &[1, 4]).await;
    after(&world, Duration::from_secs(1)).await;
    for number in damaged {
        assert!(world.nodes.with(number, |node| node.damaged.is_empty()), "node {number} still has it");
    }
    assert_eq!(segment_of(&world, "a").await, before, "nothing of it is on record");
    assert_eq!((world.count(keys::REPAIRS), world.tenure.reconstruction().pending()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_missing_comes_before_one_that_is_damaged() {
    let world = World::new(7).await;
    let session = world.session().await;
    put_with_hole(&world, session, "a").await;
    let damaged = damage_chunks(&world, "a", &[3]).await[0];
    world.hear_nodes().await;
    let job = world.tenure.reconstruction();
    job.look(&mut Bytes::from_static(keys::REPAIRS)).await.unwrap();
    let id = job.take().unwrap();
    job.clone().repair(id).await.unwrap();
    assert_eq!(nodes_of(&segment_of(&world, "a").await).len(), 6);
    assert!(!world.nodes.with(damaged, |node| node.damaged.is_empty()));
    assert_eq!(job.take(), Some(id), "the damaged one is next");
    job.clone().repair(id).await.unwrap();
    assert!(world.nodes.with(damaged, |node| node.damaged.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_could_not_be_put_right_is_tried_again() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let damaged = damage_chunks(&world, "a", &[2]).await[0];
    world.nodes.with(damaged, |node| node.fails_rebuilds = true);
    after(&world, Duration::from_secs(1)).await;
    assert_eq!(world.tenure.reconstruction().pending(), 1);
    world.nodes.with(damaged, |node| node.fails_rebuilds = false);
    after(&world, Duration::from_secs(6)).await;
    assert_eq!(world.tenure.reconstruction().pending(), 0);
    assert!(world.nodes.with(damaged, |node| node.damaged.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_is_tried_again_when_somebody_says_so() {
    let world = World::new(6).await;
    let session = world.session().await;
    put_with_hole(&world, session, "a").await;
    let kept = nodes_of(&segment_of(&world, "a").await);
    let free = (1..=6).find(|number| !kept.contains(number)).unwrap();
    world.nodes.with(free, |node| node.refusing_writes = "busy".to_owned());
    after(&world, Duration::from_secs(1)).await;
    let job = world.tenure.reconstruction();
    world.nodes.with(free, |node| node.refusing_writes.clear());
    world.hear_nodes().await;
    job.look(&mut Bytes::from_static(keys::REPAIRS)).await.unwrap();
    assert_eq!((job.take(), job.pending()), (None, 1), "that a node takes writes again is no change of its standing");
    let begun = world.tenure.start_healing().await.unwrap();
    assert_eq!(begun.pending, 1);
    job.clone().repair(job.take().unwrap()).await.unwrap();
    assert_eq!(nodes_of(&segment_of(&world, "a").await), [1, 2, 3, 4, 5, 6]);
}

/// A chunk that a node does not have any more, although the record says so.
async fn lose_chunk(world: &World, key: &str, chunk: usize) -> (ChunkPlace, Flaw) {
    let segment = segment_of(world, key).await;
    let (id, number) = (id_of(&segment), segment.chunks[chunk].node[0]);
    let incarnation = world.nodes.with(number, |node| {
        node.sealed.remove(&id);
        node.incarnation
    });
    (ChunkPlace { node: NodeId::from_bytes([number; 16]), incarnation }, Flaw { segment: id, chunk })
}

#[tokio::test(start_paused = true)]
async fn what_a_node_does_not_have_is_made_there_again_once_it_is_noted() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let before = segment_of(&world, "a").await;
    let (place, flaw) = lose_chunk(&world, "a", 2).await;
    after(&world, Duration::from_secs(1)).await;
    assert_eq!(world.nodes.holders(flaw.segment), 5, "nobody knows of it");
    let job = world.tenure.reconstruction();
    job.note_absent(place, flaw);
    job.note_absent(place, Flaw { chunk: 3, ..flaw });
    job.note_absent(place, Flaw { segment: SegmentId::generate(), chunk: 1 });
    after(&world, Duration::from_secs(1)).await;
    assert_eq!((world.nodes.holders(flaw.segment), segment_of(&world, "a").await), (6, before));
    after(&world, Duration::from_secs(1)).await;
    assert_eq!((job.pending(), job.report().rebuilt_chunks), (0, 1), "what is not on record is left alone");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_lacks_a_chunk_and_dies_is_not_asked_for_it() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let (place, flaw) = lose_chunk(&world, "a", 2).await;
    world.nodes.with(place.node.as_bytes()[0], |node| node.up = false);
    world.tenure.reconstruction().note_absent(place, flaw);
    after(&world, DEAD).await;
    let healed = segment_of(&world, "a").await;
    assert!(!nodes_of(&healed).contains(&place.node.as_bytes()[0]), "it is made elsewhere");
    assert_eq!((world.nodes.holders(flaw.segment), world.tenure.reconstruction().pending()), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_says_of_chunks_that_are_not_its_own_is_left_alone() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let segment = segment_of(&world, "a").await;
    let spare = (1..=7).find(|number| !nodes_of(&segment).contains(number)).unwrap();
    world.nodes.with(spare, |node| node.damaged.insert(id_of(&segment), 1));
    let first = segment.chunks[0].node[0];
    world.nodes.with(first, |node| {
        node.damaged.insert(id_of(&segment), 250);
        node.damaged.insert(SegmentId::generate(), 0);
    });
    after(&world, Duration::from_secs(1)).await;
    assert_eq!(world.tenure.reconstruction().pending(), 0);
    assert_eq!(segment_of(&world, "a").await, segment);
}

#[tokio::test(start_paused = true)]
async fn scrubs_begin_on_the_nodes_that_are_named_or_on_all_that_serve() {
    let world = World::new(3).await;
    let start = |nodes: &[&str]| wire::StartScrubsRequest {
        nodes: nodes.iter().map(ToString::to_string).collect(),
        bytes_per_second: 0,
    };
    world.nodes.with(3, |node| node.up = false);
    let answer = world.tenure.nodes().start_scrubs(start(&["node-2", "node-9", "node-3"])).await;
    assert_eq!((answer.started, answer.failed.len()), (vec!["node-2".to_owned()], 2));
    tokio::time::advance(DEAD).await;
    world.hear_nodes().await;
    let answer = world.tenure.nodes().start_scrubs(start(&[])).await;
    assert_eq!((answer.started.len(), answer.failed.len()), (2, 0));
    assert_eq!([1, 2, 3].map(|number| world.nodes.with(number, |node| node.scrubs_started)), [1, 2, 0]);
    let scrubs = world.tenure.nodes().scrubs();
    assert_eq!((scrubs.len(), scrubs[0].name.as_str()), (3, "node-1"));
}
