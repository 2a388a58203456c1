//! Joining, leaving, silence and what the record says of it.

use std::sync::Arc;
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::{ClusterId, IncarnationId, NodeId};
use cairn_proto::wire::NodeState;
use tokio_util::sync::CancellationToken;

use crate::fakes::{World, refusal};
use crate::state::State;
use crate::store::Store;

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 16])
}

fn recorded(world: &World, number: u8) -> (NodeState, u64) {
    let view = world.store.view().unwrap();
    let found = State(view.as_ref()).node(id(number)).unwrap().unwrap();
    (found.record.state, found.version)
}

#[tokio::test(start_paused = true)]
async fn the_record_changes_only_when_the_node_does() {
    let world = World::new(3).await;
    let (state, version) = recorded(&world, 1);
    assert_eq!(state, NodeState::Active);
    for _ in 0..5 {
        tokio::time::advance(Duration::from_secs(1)).await;
        world.hear_nodes().await;
    }
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    assert_eq!(recorded(&world, 1), (NodeState::Active, version));
    world.nodes.with(1, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(3)).await;
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Suspect);
    tokio::time::advance(Duration::from_secs(3)).await;
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Dead);
    world.nodes.with(1, |node| node.up = true);
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_suspect_until_its_next_life_joins() {
    let world = World::new(3).await;
    let boot = world.nodes.with(1, |node| node.boot);
    world.tenure.nodes().leave(id(1), boot, None).await.unwrap();
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Suspect);
    world.nodes.with(1, |node| node.boot = cairn_proto::ids::BootId::generate());
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Active);
    world.tenure.nodes().leave(id(1), boot, None).await.unwrap();
    assert_eq!(recorded(&world, 1).0, NodeState::Active, "an earlier life cannot leave for it");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_once_more_in_the_same_life_is_written_to_all_the_time() {
    let world = World::new(1).await;
    world.hear_nodes().await;
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    let (candidates, missing) = world.tenure.nodes().candidates();
    assert_eq!((candidates.len(), missing), (1, Vec::new()));
    world.nodes.with(1, |node| node.boot = cairn_proto::ids::BootId::generate());
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    let (candidates, missing) = world.tenure.nodes().candidates();
    assert_eq!((candidates.len(), missing.len()), (0, 1), "a new life has not been heard");
}

#[tokio::test(start_paused = true)]
async fn a_node_of_another_cluster_is_refused() {
    let world = World::new(1).await;
    let info = world.nodes.add(2);
    let refused = refusal(world.tenure.nodes().join(Some(ClusterId::generate()), info).await);
    assert!(matches!(refused, Refusal::ForeignCluster { .. }), "{refused}");
    assert_eq!(world.tenure.nodes().table().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_copied_node_is_refused_while_the_original_lives() {
    let world = World::new(2).await;
    let mut copy = world.nodes.info(1);
    copy.address = "127.0.0.1:9999".to_owned();
    copy.boot = cairn_proto::ids::BootId::generate().to_wire();
    let refused = refusal(world.tenure.nodes().join(None, copy.clone()).await);
    assert!(matches!(refused, Refusal::InvalidRequest { .. }), "{refused}");
    world.nodes.with(1, |node| node.stuck = true);
    world.tenure.nodes().join(None, copy).await.unwrap();
    assert_eq!(world.tenure.nodes().info(id(1)).unwrap().address, "127.0.0.1:9999");
}

#[tokio::test(start_paused = true)]
async fn a_wiped_node_is_not_heard_before_it_joins_again() {
    let world = World::new(2).await;
    world.nodes.with(1, |node| node.incarnation = IncarnationId::generate());
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Dead);
    world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
    world.hear_nodes().await;
    assert_eq!(recorded(&world, 1).0, NodeState::Active);
}

#[tokio::test(start_paused = true)]
async fn a_new_master_gives_every_node_its_full_time() {
    let world = World::new(2).await;
    world.nodes.with(1, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(4)).await;
    let world = world.elect_again().await;
    let state = || {
        let members = world.tenure.nodes().members_with_state();
        members.into_iter().find(|(member, _)| member.node.id == id(1)).unwrap().1
    };
    tokio::time::advance(Duration::from_secs(4)).await;
    assert_eq!(state(), NodeState::Suspect, "four seconds of silence here, eight in all");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(state(), NodeState::Dead);
}

#[tokio::test(start_paused = true)]
async fn nodes_that_get_stuck_one_after_the_other_hold_up_the_first_write_only_once() {
    let world = World::new(7).await.elect_again_unheard();
    let stop = CancellationToken::new();
    let _tasks = world.tenure.start(&stop);
    world.nodes.with(1, |node| node.stuck = true);
    tokio::time::sleep(Duration::from_millis(700)).await;
    world.nodes.with(2, |node| node.stuck = true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let session = world.session().await;
    let start = tokio::time::Instant::now();
    assert!(world.open(session, 1, "a", false).await.is_ok());
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
    stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn a_stuck_node_holds_up_no_other() {
    let world = World::new(3).await;
    world.nodes.with(2, |node| node.stuck = true);
    let stop = CancellationToken::new();
    let mut tasks = world.tenure.start(&stop);
    tokio::time::sleep(Duration::from_secs(8)).await;
    let states = [1, 2, 3].map(|number| world.tenure.nodes().info(id(number)).unwrap().state());
    assert_eq!(states, [NodeState::Active, NodeState::Dead, NodeState::Active]);
    assert_eq!(recorded(&world, 2).0, NodeState::Dead);
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    assert_eq!(Arc::strong_count(&world.tenure), 1);
}

#[tokio::test(start_paused = true)]
async fn an_election_writes_nothing_of_nodes_that_are_as_they_were() {
    let world = World::new(3).await;
    world.nodes.with(2, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
    let before = [1, 2, 3].map(|number| recorded(&world, number));
    assert_eq!(before.map(|(state, _)| state), [NodeState::Active, NodeState::Dead, NodeState::Active]);
    let world = world.elect_again().await;
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(3)).await;
        world.hear_nodes().await;
    }
    assert_eq!([1, 2, 3].map(|number| recorded(&world, number)), before);
}

#[tokio::test(start_paused = true)]
async fn a_node_says_only_once_what_stays_the_same() {
    let world = World::new(1).await;
    world.hear_nodes().await;
    world.hear_nodes().await;
    let beats = || world.nodes.with(1, |node| (node.beats, node.unchanged_beats));
    assert_eq!(beats(), (3, 2));
    world.nodes.with(1, |node| node.refusing_writes = "full".to_owned());
    world.hear_nodes().await;
    assert_eq!(beats(), (4, 2));
    assert_eq!(world.tenure.nodes().candidates().1, ["node-1 (full)"]);
    let world = world.elect_again().await;
    assert_eq!(world.nodes.with(1, |node| node.unchanged_beats), 2, "the next master knows nothing yet");
    assert_eq!(world.tenure.nodes().candidates().1, ["node-1 (full)"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_joins_has_no_other_asked() {
    let world = World::new(2).await.elect_again_unheard();
    let stop = CancellationToken::new();
    let _tasks = world.tenure.start(&stop);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let beats = |number| world.nodes.with(number, |node| node.beats);
    let before = [1, 2].map(beats);
    for _ in 0..20 {
        world.tenure.nodes().join(None, world.nodes.info(1)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    assert!(beats(1) >= before[0] + 15, "it is asked each time");
    assert!(beats(2) <= before[1] + 1, "300 ms are less than an interval");
    stop.cancel();
}
