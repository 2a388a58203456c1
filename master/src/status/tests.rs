//! What people are told of the cluster.

use std::time::Duration;

use cairn_proto::ids::IncarnationId;
use cairn_proto::wire;

use crate::fakes::{World, kept};

async fn redundancy(world: &World) -> (Vec<(u32, u64)>, u64) {
    tokio::time::advance(Duration::from_secs(2)).await;
    let status = world.tenure.status().await.unwrap();
    (status.redundancy.iter().map(|count| (count.spare_chunks, count.blobs)).collect(), status.lost_blobs)
}

async fn lose(world: &World, number: u8) {
    world.nodes.with(number, |node| node.up = false);
    tokio::time::advance(Duration::from_secs(6)).await;
    world.hear_nodes().await;
}

#[tokio::test(start_paused = true)]
async fn every_lost_node_costs_a_spare_chunk_until_blobs_are_lost() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.put(session, 2, "b").await;
    world.put(session, 3, "b").await;
    assert_eq!(redundancy(&world).await, (vec![(2, 2)], 0), "replaced blobs do not count");
    lose(&world, 1).await;
    assert_eq!(redundancy(&world).await, (vec![(1, 2)], 0));
    lose(&world, 2).await;
    assert_eq!(redundancy(&world).await, (vec![(0, 2)], 0));
    lose(&world, 3).await;
    assert_eq!(redundancy(&world).await, (vec![], 2));
    world.nodes.with(1, |node| node.up = true);
    world.hear_nodes().await;
    assert_eq!(redundancy(&world).await, (vec![(0, 2)], 0));
}

#[tokio::test(start_paused = true)]
async fn chunks_of_an_earlier_life_of_a_node_do_not_count() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.nodes.with(5, |node| node.incarnation = IncarnationId::generate());
    world.tenure.nodes().join(None, world.nodes.info(5)).await.unwrap();
    assert_eq!(redundancy(&world).await, (vec![(1, 1)], 0));
}

#[tokio::test(start_paused = true)]
async fn a_blob_of_one_cell_misses_nothing_where_it_has_no_cells() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    let request = world.written(session, 1, "a", &opened, 100);
    world.tenure.blobs().commit(request).await.unwrap();
    let without_cells = opened.targets[1].id[0];
    lose(&world, without_cells).await;
    assert_eq!(redundancy(&world).await, (vec![(2, 1)], 0));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_those_that_users_stored_and_can_still_store() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.open(session, 2, "b", false).await.unwrap();
    let status = world.tenure.status().await.unwrap();
    assert_eq!((status.keys, status.stored_bytes), (1, 20_000));
    let per_node = 1 << 30;
    assert_eq!((status.total_bytes, status.free_bytes), (4 * per_node, 4 * (per_node - 4096)));
    assert_eq!((status.sessions, status.open_transactions, status.pending_repairs), (1, 1, 0));
    assert!(status.nodes.iter().all(|node| node.devices[0].reserved_bytes == 4096));
    for number in 1..=2 {
        lose(&world, number).await;
    }
    assert_eq!(world.tenure.status().await.unwrap().free_bytes, 0, "four nodes take no 4+2 write");
}

#[tokio::test(start_paused = true)]
async fn the_status_after_a_commit_counts_it() {
    let world = World::new(6).await;
    let session = world.session().await;
    assert_eq!(world.tenure.status().await.unwrap().keys, 0);
    world.put(session, 1, "a").await;
    assert_eq!(world.tenure.status().await.unwrap().keys, 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_blob_is_as_safe_as_the_metadata() {
    let world = World::new(0).await;
    let session = world.session().await;
    let request = wire::CommitBlobRequest {
        request: Some(wire::RequestId { client: session.0, sequence: 1, lowest_unanswered: 1 }),
        key: "a".into(),
        blob: cairn_proto::ids::BlobId::generate().to_wire(),
        digest: vec![0; 32].into(),
        attributes: Some(wire::Attributes::default()),
        ..Default::default()
    };
    world.tenure.blobs().commit(request).await.unwrap();
    assert_eq!(redundancy(&world).await, (vec![(2, 1)], 0));
}

#[tokio::test(start_paused = true)]
async fn a_blob_that_the_masters_keep_is_as_safe_as_the_metadata() {
    let world = World::new(6).await;
    let session = world.session().await;
    let opened = world.open(session, 1, "a", false).await.unwrap();
    world.tenure.blobs().commit(kept(session, 1, "a", &opened, b"some bytes")).await.unwrap();
    for number in 1..=6 {
        lose(&world, number).await;
    }
    assert_eq!(redundancy(&world).await, (vec![(2, 1)], 0));
}

/// A cluster whose nodes are spread over datacenters, with one blob.
async fn spread(nodes: u8, datacenters: u8) -> World {
    let world = World::new(nodes).await;
    for number in 1..=nodes {
        let label = |key: &str, value: u8| wire::Label { key: key.to_owned(), value: value.to_string() };
        world.nodes.with(number, |node| {
            node.locality = vec![label("dc", number % datacenters), label("rack", number)];
        });
        world.tenure.nodes().join(None, world.nodes.info(number)).await.unwrap();
    }
    world.hear_nodes().await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world
}

async fn levels(world: &World) -> Vec<(String, u64, u64)> {
    tokio::time::advance(Duration::from_secs(2)).await;
    let levels = world.tenure.status().await.unwrap().domain_levels;
    levels.into_iter().map(|level| (level.label, level.domains, level.endangered_blobs)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_layout_that_bears_the_loss_of_any_datacenter_says_so() {
    let world = spread(6, 3).await;
    assert_eq!(levels(&world).await, [("dc".to_owned(), 3, 0), ("rack".to_owned(), 6, 0)]);
    lose(&world, 1).await;
    assert_eq!(levels(&world).await, [("dc".to_owned(), 3, 1), ("rack".to_owned(), 5, 0)]);
}

#[tokio::test(start_paused = true)]
async fn two_datacenters_are_too_few_for_four_of_six() {
    let world = spread(6, 2).await;
    assert_eq!(levels(&world).await, [("dc".to_owned(), 2, 1), ("rack".to_owned(), 6, 0)]);
}

#[tokio::test(start_paused = true)]
async fn lost_blobs_are_named() {
    let world = World::new(6).await;
    let session = world.session().await;
    world.put(session, 1, "a").await;
    world.put(session, 2, "b").await;
    for number in 1..=3 {
        lose(&world, number).await;
    }
    tokio::time::advance(Duration::from_secs(2)).await;
    let status = world.tenure.status().await.unwrap();
    assert_eq!((status.lost_blobs, status.lost_keys.len()), (2, 2));
    assert!(status.lost_keys.contains(&"a".to_owned()));
}
