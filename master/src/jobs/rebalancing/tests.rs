//! Nodes are evened out when others are added, and not when that is stopped.

use std::time::Duration;

use crate::fakes::World;
use crate::keys;

/// Room on each node: some sixty blobs of six chunks fill six of them about half.
const LIMIT_BYTES: u64 = 600_000;
const BLOBS: u64 = 60;
/// In percent of the limit.
const WITHIN: u64 = 5;

/// Adds a node with little room.
async fn add(world: &World, number: u8) {
    let info = world.nodes.add(number);
    world.nodes.with(number, |node| node.limit_bytes = LIMIT_BYTES);
    world.tenure.nodes().join(None, info).await.unwrap();
}

/// Six nodes with blobs on them, and two without.
async fn uneven() -> World {
    let world = World::new(6).await;
    for number in 1..=6 {
        world.nodes.with(number, |node| node.limit_bytes = LIMIT_BYTES);
    }
    world.hear_nodes().await;
    let session = world.session().await;
    for number in 1..=BLOBS {
        world.put(session, number, &number.to_string()).await;
    }
    add(&world, 7).await;
    add(&world, 8).await;
    world.hear_nodes().await;
    world.tenure.reconstruction().round().await.unwrap();
    world
}

/// Moves what is to be moved; answers how many chunks that were.
async fn even_out(world: &World) -> usize {
    let mut moved = 0;
    // A pass that finds nothing ends it.
    for _ in 0..20 {
        moved += world.tenure.rebalancing().round().await.unwrap();
        tokio::time::advance(Duration::from_secs(11)).await;
        world.hear_nodes().await;
        world.tenure.collection().round().await.unwrap();
    }
    moved
}

/// How far the fullest and the emptiest node are apart, in percent of the limit.
async fn gap(world: &World) -> u64 {
    let listed = world.tenure.administration().list().await.unwrap();
    let held = || listed.iter().map(|status| status.chunk_bytes);
    (held().max().unwrap() - held().min().unwrap()) * 100 / LIMIT_BYTES
}

#[tokio::test(start_paused = true)]
async fn nodes_that_are_added_are_filled_from_the_others_and_then_all_stays_still() {
    let world = uneven().await;
    assert!(gap(&world).await > WITHIN);
    assert!(even_out(&world).await > 0);
    assert!(gap(&world).await <= WITHIN, "{}", gap(&world).await);
    assert_eq!(even_out(&world).await, 0);
    assert_eq!((world.count(keys::REPAIRS), world.count(keys::GARBAGE)), (0, 0));
    let listed = world.tenure.administration().list().await.unwrap();
    assert!(listed.iter().all(|status| status.chunks == status.stored_chunks), "the old chunks are cleared");
    assert_eq!(world.tenure.status().await.unwrap().redundancy[0].spare_chunks, 2);
}

#[tokio::test(start_paused = true)]
async fn it_stops_when_told_to_and_goes_on_under_the_next_master() {
    let world = uneven().await;
    world.tenure.rebalancing().set_stopped(true).await.unwrap();
    let world = world.elect_again().await;
    assert!(world.tenure.rebalancing().report().unwrap().stopped);
    assert_eq!(even_out(&world).await, 0);
    world.tenure.rebalancing().set_stopped(false).await.unwrap();
    assert!(world.tenure.rebalancing().round().await.unwrap() > 0);
    let world = world.elect_again().await;
    world.tenure.reconstruction().round().await.unwrap();
    even_out(&world).await;
    assert!(gap(&world).await <= WITHIN);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_rebuilt_first() {
    let world = uneven().await;
    world.nodes.with(1, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
    for number in 7..=8 {
        world.nodes.with(number, |node| node.fails_rebuilds = true);
    }
    world.tenure.reconstruction().round().await.unwrap();
    assert!(world.tenure.reconstruction().pending() > 0);
    assert_eq!(world.tenure.rebalancing().round().await.unwrap(), 0);
}
