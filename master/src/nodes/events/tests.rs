//! What is kept of what happened to a node, over elections too.

use std::time::Duration;

use cairn_proto::ids::{BootId, ClusterId, IncarnationId, NodeId, SegmentId};
use cairn_proto::wire::{NodeEvent, NodeEventKind, NodeState};

use super::event_log::EVENTS_LIMIT;
use crate::fakes::World;
use crate::keys;

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn events(world: &World, number: u8) -> Vec<NodeEvent> {
    world.tenure.nodes().events(id(number)).unwrap()
}

fn kinds(world: &World, number: u8) -> Vec<NodeEventKind> {
    events(world, number).iter().map(NodeEvent::kind).collect()
}

async fn after(world: &World, seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
    world.hear_nodes().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_dies_and_comes_back_leaves_a_trace_that_elections_neither_lose_nor_lengthen() {
    let world = World::new(2).await;
    world.nodes.with(1, |node| node.up = false);
    after(&world, 3).await;
    after(&world, 3).await;
    let died = [NodeEventKind::Joined, NodeEventKind::Missed, NodeEventKind::Dead];
    assert_eq!(kinds(&world, 1), died);
    let world = world.elect_again().await;
    after(&world, 3).await;
    after(&world, 3).await;
    assert_eq!((kinds(&world, 1), kinds(&world, 2)), (died.to_vec(), vec![NodeEventKind::Joined]));
    world.nodes.with(1, |node| {
        node.up = true;
        node.boot = BootId::generate();
    });
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    after(&world, 1).await;
    assert_eq!(kinds(&world, 1), [died.as_slice(), &[NodeEventKind::Back]].concat());
    assert!(events(&world, 1).iter().all(|event| event.at_ms > 0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_that_answers_again_is_back_although_it_never_died() {
    let world = World::new(1).await;
    world.nodes.with(1, |node| node.up = false);
    after(&world, 3).await;
    world.nodes.with(1, |node| node.up = true);
    after(&world, 1).await;
    assert_eq!(kinds(&world, 1), [NodeEventKind::Joined, NodeEventKind::Missed, NodeEventKind::Back]);
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_was_announced_and_data_that_was_lost_are_told() {
    let world = World::new(1).await;
    let boot = world.nodes.with(1, |node| node.boot);
    world.tenure.nodes().leave(id(1), boot, Some(Duration::from_mins(1))).await.unwrap();
    world.nodes.with(1, |node| {
        node.boot = BootId::generate();
        node.incarnation = IncarnationId::generate();
    });
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    let told = [
        NodeEventKind::Joined,
        NodeEventKind::Maintenance,
        NodeEventKind::Stopping,
        NodeEventKind::NewData,
        NodeEventKind::InService,
    ];
    assert_eq!(kinds(&world, 1), told);
}

#[tokio::test(start_paused = true)]
async fn what_an_administrator_does_is_told() {
    let world = World::new(8).await;
    let set = async |wanted| {
        world.tenure.administration().set_intent(id(1), wanted, Duration::from_mins(10)).await.unwrap();
        after(&world, 1).await;
    };
    set(NodeState::Maintenance).await;
    set(NodeState::Active).await;
    set(NodeState::Draining).await;
    world.tenure.reconstruction().round().await.unwrap();
    world.tenure.administration().remove(id(1), false).await.unwrap();
    let told = [
        NodeEventKind::Joined,
        NodeEventKind::Maintenance,
        NodeEventKind::InService,
        NodeEventKind::Draining,
        NodeEventKind::Removed,
    ];
    assert_eq!(kinds(&world, 1), told);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_let_in_as_a_node_is_one_event_and_strangers_are_none() {
    let world = World::new(1).await;
    let mut copy = world.nodes.info(1);
    copy.address = "127.0.0.1:9999".to_owned();
    copy.boot = BootId::generate().to_wire();
    let foreign = ClusterId::generate();
    for _ in 0..3 {
        world.tenure.nodes().join(None, copy.clone()).await.unwrap_err();
        world.tenure.nodes().join(Some(foreign), world.nodes.info(1)).await.unwrap_err();
    }
    let told = events(&world, 1);
    let refused: Vec<&NodeEvent> = told.iter().filter(|event| event.kind() == NodeEventKind::Refused).collect();
    assert!(refused[0].detail.contains("127.0.0.1:9999") && refused[0].detail.contains("data copied"), "{told:?}");
    assert_eq!(refused.len(), 2, "{told:?}");
    let stranger = world.nodes.add(2);
    world.tenure.nodes().join(Some(ClusterId::generate()), stranger).await.unwrap_err();
    assert_eq!(world.count(keys::NODE_EVENTS), 1);
}

#[tokio::test(start_paused = true)]
async fn damage_and_refused_writes_are_told_when_they_begin_and_when_they_end() {
    let world = World::new(1).await;
    let segment = SegmentId::generate();
    world.nodes.with(1, |node| {
        node.damaged.insert(segment, 0);
        node.refusing_writes = "3 of its limit of 3 bytes are used".to_owned();
    });
    after(&world, 11).await;
    after(&world, 11).await;
    let begun = [NodeEventKind::Joined, NodeEventKind::Damaged, NodeEventKind::WritesRefused];
    assert_eq!(kinds(&world, 1), begun);
    let world = world.elect_again().await;
    after(&world, 11).await;
    assert_eq!(kinds(&world, 1), begun, "the next master finds it told");
    world.nodes.with(1, |node| {
        node.damaged.clear();
        node.refusing_writes.clear();
    });
    let world = world.elect_again().await;
    let ended = [NodeEventKind::Repaired, NodeEventKind::WritesTaken];
    assert_eq!(kinds(&world, 1), [begun.as_slice(), &ended].concat());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fills_up_and_is_cleared_all_the_time_is_noted_seldom_and_its_log_stays_short() {
    let world = World::new(1).await;
    after(&world, 11).await;
    for second in 0..20 {
        world.nodes.with(1, |node| node.refusing_writes = if second % 2 == 0 { "full" } else { "" }.to_owned());
        after(&world, 1).await;
    }
    assert!(kinds(&world, 1).len() <= 4, "{:?}", kinds(&world, 1));
    for _ in 0..EVENTS_LIMIT {
        world.nodes.with(1, |node| node.boot = BootId::generate());
        world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    }
    assert_eq!(kinds(&world, 1), [NodeEventKind::Back; EVENTS_LIMIT]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_answers_before_it_has_joined_is_back_once() {
    let world = World::new(1).await;
    world.nodes.with(1, |node| node.up = false);
    after(&world, 6).await;
    world.nodes.with(1, |node| {
        node.up = true;
        node.boot = BootId::generate();
    });
    after(&world, 1).await;
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    after(&world, 1).await;
    let told = events(&world, 1);
    assert_eq!(kinds(&world, 1), [NodeEventKind::Joined, NodeEventKind::Dead, NodeEventKind::Back], "{told:?}");
    assert!(told[2].detail.contains("a new process"), "{told:?}");
}
