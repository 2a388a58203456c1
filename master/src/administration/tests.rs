//! Nodes that are listed, emptied, sent into maintenance and removed.

use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::{NodeId, SegmentId, SessionId};
use cairn_proto::wire::{self, NodeState};

use crate::fakes::{World, refusal};
use crate::keys;

const DEAD: Duration = Duration::from_secs(6);
const GRACE: Duration = Duration::from_secs(61);

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

async fn intend(world: &World, number: u8, wanted: NodeState) -> Result<wire::NodeInfo, crate::failure::Failure> {
    world.tenure.administration().set_intent(id(number), wanted, Duration::from_mins(10)).await
}

/// Waits, hears the nodes, and does what background work there is.
async fn after(world: &World, time: Duration) {
    tokio::time::advance(time).await;
    world.hear_nodes().await;
    world.tenure.reconstruction().round().await.unwrap();
    world.tenure.collection().round().await.unwrap();
}

/// Waits until what can be moved is moved, cleared and told.
async fn emptied(world: &World, session: SessionId) {
    for _ in 0..3 {
        after(world, Duration::from_secs(1)).await;
        world.heartbeat(session).unwrap();
    }
}

async fn status(world: &World, number: u8) -> wire::NodeStatus {
    let listed = world.tenure.administration().list().await.unwrap();
    let named = |status: &wire::NodeStatus| status.node.as_ref().unwrap().id == id(number).to_wire();
    listed.into_iter().find(named).unwrap()
}

async fn segment_of(world: &World, key: &str) -> wire::Segment {
    world.look_up(key).await.unwrap().segments.remove(0)
}

fn names(segment: &wire::Segment, number: u8) -> bool {
    segment.chunks.iter().any(|chunk| chunk.node == id(number).to_wire())
}

/// A node that has a chunk with cells of a key.
async fn holder(world: &World, key: &str) -> u8 {
    segment_of(world, key).await.chunks[0].node[0]
}

#[tokio::test(start_paused = true)]
async fn a_drained_node_is_emptied_and_removed() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let node = holder(&world, "a").await;
    intend(&world, node, NodeState::Draining).await.unwrap();
    let before = status(&world, node).await;
    assert_eq!((before.chunks, before.stored_chunks, before.drained), (1, 0, false), "not heard since");
    emptied(&world, session).await;
    let segment = segment_of(&world, "a").await;
    assert!(!names(&segment, node) && segment.version == 2);
    assert_eq!(world.nodes.holders(SegmentId::from_wire(&segment.id).unwrap()), 6);
    let empty = status(&world, node).await;
    assert_eq!((empty.chunks, empty.stored_chunks, empty.drained), (0, 0, true));
    assert_eq!((world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0));
    world.tenure.administration().remove(id(node), false).await.unwrap();
    world.tenure.administration().remove(id(node), false).await.unwrap();
    assert_eq!(world.tenure.administration().list().await.unwrap().len(), 6);
    assert_eq!(world.tenure.status().await.unwrap().nodes.len(), 6);
    assert!(world.tenure.nodes().join(None, world.nodes.info(node)).await.is_err(), "it stays removed");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_open_is_committed_on_a_draining_node_and_moved_then() {
    let world = World::new(7).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let node = opened.targets[0].id[0];
    intend(&world, node, NodeState::Draining).await.unwrap();
    world.heartbeat(session).unwrap();
    after(&world, Duration::from_secs(1)).await;
    assert_eq!((status(&world, node).await.open_writes, status(&world, node).await.drained), (1, false));
    let refused = refusal(world.tenure.administration().remove(id(node), false).await);
    assert!(matches!(refused, Refusal::NodeRefused { .. }), "{refused}");
    for sequence in 2..12 {
        let other = world.open(session, sequence, "b", false).await.unwrap();
        assert!(other.targets.iter().all(|target| target.id != id(node).to_wire()), "nothing new is placed on it");
    }
    let request = world.written(session, 1, "a", &opened, 20_000);
    world.tenure.blobs().commit(request).await.unwrap();
    assert!(names(&segment_of(&world, "a").await, node));
    after(&world, Duration::from_secs(2)).await;
    assert!(!names(&segment_of(&world, "a").await, node));
}

#[tokio::test(start_paused = true)]
async fn an_undrained_node_keeps_what_it_has_and_moves_under_way_are_cleared() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let (node, before) = (holder(&world, "a").await, segment_of(&world, "a").await);
    let other = (1..=7).find(|number| !names(&before, *number)).unwrap();
    world.nodes.with(other, |node| node.fails_rebuilds = true);
    intend(&world, node, NodeState::Draining).await.unwrap();
    after(&world, Duration::from_secs(1)).await;
    assert_eq!(world.tenure.reconstruction().report().moving, 1, "it waits to be tried again");
    intend(&world, node, NodeState::Active).await.unwrap();
    after(&world, Duration::from_secs(6)).await;
    after(&world, Duration::from_secs(1)).await;
    assert_eq!(segment_of(&world, "a").await, before);
    assert_eq!((world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0));
    assert_eq!(world.tenure.reconstruction().report().moving, 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_used_between_two_drains_is_emptied_again_however_short_that_was() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let node = holder(&world, "a").await;
    intend(&world, node, NodeState::Draining).await.unwrap();
    emptied(&world, session).await;
    assert!(status(&world, node).await.drained);
    intend(&world, node, NodeState::Active).await.unwrap();
    let mut keys = Vec::new();
    for sequence in 2..9 {
        keys.push(format!("key {sequence}"));
        world.put(session, sequence, &keys[keys.len() - 1]).await;
    }
    // The client has told that nothing is open any more.
    world.heartbeat(session).unwrap();
    assert_eq!(status(&world, node).await.open_writes, 0);
    assert!(status(&world, node).await.chunks > 0);
    intend(&world, node, NodeState::Draining).await.unwrap();
    emptied(&world, session).await;
    for key in &keys {
        assert!(!names(&segment_of(&world, key).await, node), "{key} is still on it");
    }
    assert!(status(&world, node).await.drained);
}

#[tokio::test(start_paused = true)]
async fn draining_goes_on_after_an_election() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let node = holder(&world, "a").await;
    intend(&world, node, NodeState::Draining).await.unwrap();
    let world = world.elect_again().await;
    world.heartbeat(session).unwrap();
    after(&world, Duration::from_secs(1)).await;
    assert!(!names(&segment_of(&world, "a").await, node));
}

#[tokio::test(start_paused = true)]
async fn a_chunk_without_cells_names_no_node_that_is_emptied() {
    let world = World::new(7).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let request = world.written(session, 1, "a", &opened, 100);
    world.tenure.blobs().commit(request).await.unwrap();
    let idle = opened.targets[1].id[0];
    intend(&world, idle, NodeState::Draining).await.unwrap();
    emptied(&world, session).await;
    assert!(!names(&segment_of(&world, "a").await, idle));
    assert_eq!((status(&world, idle).await.stored_chunks, status(&world, idle).await.drained), (0, true));
    assert_eq!(world.tenure.status().await.unwrap().pending_repairs, 0);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_node_to_spare_drains_none() {
    let world = World::new(6).await;
    let refused = refusal(intend(&world, 1, NodeState::Draining).await);
    assert!(matches!(&refused, Refusal::NodeRefused { why } if why.contains("5 nodes would be left")), "{refused}");
    assert_eq!(status(&world, 1).await.node.unwrap().intended_state(), NodeState::Active);
}

#[tokio::test(start_paused = true)]
async fn only_one_of_two_nodes_is_drained_where_both_cannot_be_spared() {
    let world = World::new(7).await;
    let both = tokio::join!(intend(&world, 1, NodeState::Draining), intend(&world, 2, NodeState::Draining));
    assert!(both.0.is_ok() != both.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_draining_node_that_dies_is_not_waited_for() {
    let world = World::new(7).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let node = holder(&world, "a").await;
    let before = segment_of(&world, "a").await;
    let other = (1..=7).find(|number| !names(&before, *number)).unwrap();
    world.nodes.with(other, |node| node.fails_rebuilds = true);
    intend(&world, node, NodeState::Draining).await.unwrap();
    after(&world, Duration::from_secs(1)).await;
    world.nodes.with(node, |node| node.up = false);
    world.nodes.with(other, |node| node.fails_rebuilds = false);
    after(&world, DEAD).await;
    assert_eq!(segment_of(&world, "a").await.version, 2, "long before the grace is over");
}

#[tokio::test(start_paused = true)]
async fn a_node_in_maintenance_is_not_missed_before_its_end() {
    let world = World::new(9).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let node = holder(&world, "a").await;
    let before = segment_of(&world, "a").await;
    intend(&world, node, NodeState::Maintenance).await.unwrap();
    world.nodes.with(node, |node| node.up = false);
    after(&world, DEAD).await;
    world.heartbeat(session).unwrap();
    after(&world, GRACE).await;
    assert_eq!(segment_of(&world, "a").await, before);
    let opened = world.session().await;
    let opened = world.open(opened, 1, "b", false).await.unwrap();
    assert!(opened.targets.iter().all(|target| target.id != id(node).to_wire()));
    let world = world.elect_again().await;
    after(&world, DEAD).await;
    assert_eq!(segment_of(&world, "a").await, before, "the next master knows of it");
    after(&world, Duration::from_mins(11)).await;
    assert_eq!(segment_of(&world, "a").await.version, 2);
    world.hear_nodes().await;
    assert_eq!(status(&world, node).await.node.unwrap().intended_state(), NodeState::Active, "the record says so too");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_announced_its_stop_is_in_service_with_its_next_life() {
    let world = World::new(7).await;
    let boot = world.nodes.with(1, |node| node.boot);
    world.tenure.nodes().leave(id(1), boot, Some(Duration::from_mins(5))).await.unwrap();
    assert_eq!(status(&world, 1).await.node.unwrap().intended_state(), NodeState::Maintenance);
    world.nodes.with(1, |node| node.boot = cairn_proto::ids::BootId::generate());
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    world.hear_nodes().await;
    let info = status(&world, 1).await.node.unwrap();
    assert_eq!((info.intended_state(), info.state(), info.maintenance), (NodeState::Active, NodeState::Active, None));
}

#[tokio::test(start_paused = true)]
async fn a_dead_node_with_chunks_is_removed_only_if_the_loss_is_accepted() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    let refused = refusal(world.tenure.administration().remove(id(3), true).await);
    assert!(matches!(&refused, Refusal::NodeRefused { why } if why.contains("in service")), "{refused}");
    world.nodes.with(3, |node| node.up = false);
    after(&world, DEAD).await;
    let (cost, hindrance) = world.tenure.administration().plan_removal(id(3)).await.unwrap();
    assert_eq!((cost.chunks, cost.blobs, cost.lost_blobs), (1, 1, 0));
    assert!(hindrance.unwrap().can_be_forced());
    assert!(world.tenure.administration().remove(id(3), false).await.is_err());
    for number in [4, 5] {
        assert!(world.tenure.administration().remove(id(number), true).await.is_err());
    }
    world.tenure.administration().remove(id(3), true).await.unwrap();
    world.nodes.add(8);
    world.tenure.nodes().join(None, world.nodes.info(8)).await.unwrap();
    after(&world, Duration::from_secs(1)).await;
    let segment = segment_of(&world, "a").await;
    assert!(names(&segment, 8) && !names(&segment, 3), "what it had is rebuilt without any grace");
    assert_eq!((world.count(keys::GARBAGE), world.count(keys::REVOCATIONS)), (0, 0), "nothing waits for it");
}

#[tokio::test(start_paused = true)]
async fn what_only_dead_nodes_have_is_counted_as_lost() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    for number in [1, 2, 3] {
        world.nodes.with(number, |node| node.up = false);
    }
    after(&world, DEAD).await;
    let remove = async |number| world.tenure.administration().remove(id(number), true).await.unwrap();
    assert_eq!([remove(1).await.lost_blobs, remove(2).await.lost_blobs, remove(3).await.lost_blobs], [0, 0, 1]);
}
