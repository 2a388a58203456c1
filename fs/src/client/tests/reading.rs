use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_codec::Layout;
use cairn_proto::ids::SegmentId;
use futures_util::FutureExt;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert_eq, proptest};

use super::small_layout;
use crate::client::testing::{FakeCluster, NodeFault, bytes, find, put, read_all};
use crate::client::{ClientError, ClientOptions, FoundBlob};

async fn cluster_with_blob(layout: Layout, length: usize) -> (FakeCluster, crate::client::Client, Arc<FoundBlob>) {
    let cluster = FakeCluster::start(layout).await;
    let client = cluster.client().await;
    put(&client, "key", &bytes(length)).await.unwrap();
    let found = find(&client, "key").await;
    (cluster, client, found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_blob_is_read_from_its_data_chunks_alone() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 300_000).await;
    assert_eq!(read_all(&client.reader(found)).await.unwrap(), bytes(300_000));
    for node in &cluster.nodes[4..] {
        assert!(!node.requests().contains(&"get"), "a code chunk was read");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_two_nodes_may_be_dead() {
    let content = bytes(300_000);
    for first in 0..6 {
        for second in 0..first {
            let (cluster, client, found) = cluster_with_blob(small_layout(), 300_000).await;
            cluster.nodes[first].fail(NodeFault::Dead);
            cluster.nodes[second].fail(NodeFault::Dead);
            assert_eq!(read_all(&client.reader(found)).await.unwrap(), content, "nodes {first} and {second}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_three_nodes_dead_the_read_fails_and_names_them() {
    let (cluster, _, _) = cluster_with_blob(small_layout(), 300_000).await;
    let options = ClientOptions { deadline: Duration::from_millis(500), ..cluster.options() };
    let client = crate::client::Client::connect(options).await.unwrap();
    let reader = client.reader(find(&client, "key").await);
    cluster.nodes[..3].iter().for_each(|node| node.fail(NodeFault::Dead));
    let error = reader.read(0, 1000).await.unwrap_err();
    assert!(matches!(error, ClientError::TooFewChunks { found: 3, needed: 4, .. }), "{error}");
    for name in ["node-1", "node-2", "node-3"] {
        assert!(error.to_string().contains(name), "{error}");
    }
    cluster.nodes[0].stored.lock().fault = None;
    assert_eq!(reader.read(0, 1000).await.unwrap(), bytes(300_000)[..1000], "the failure is not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_delays_a_reader_once() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 4 << 20).await;
    cluster.nodes[1].fail(NodeFault::Stopped);
    let start = Instant::now();
    assert_eq!(read_all(&client.reader(found)).await.unwrap(), bytes(4 << 20));
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunk_that_moved_is_looked_up_again() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 100_000).await;
    let segment = found.segments()[0].id;
    let taken = {
        let mut stored = cluster.nodes[0].stored.lock();
        (stored.chunks.remove(&(segment, 0)).unwrap(), stored.sealed.remove(&(segment, 0)).unwrap())
    };
    // It now lies beside chunk 1, and the master says so.
    {
        let mut stored = cluster.nodes[1].stored.lock();
        stored.chunks.insert((segment, 0), taken.0);
        stored.sealed.insert((segment, 0), taken.1);
        let mut master = cluster.master.state.lock();
        let chunks = &mut master.segments.get_mut(&segment).unwrap().chunks;
        (chunks[0].node, chunks[0].incarnation) = (chunks[1].node.clone(), chunks[1].incarnation.clone());
    }
    assert_eq!(read_all(&client.reader(found)).await.unwrap(), bytes(100_000));
    assert!(cluster.nodes[4..].iter().all(|node| !node.requests().contains(&"get")), "it was decoded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_digest_is_found_by_a_verified_read() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 100_000).await;
    cluster.master.state.lock().blobs.get_mut(&found.blob().id).unwrap().digest = vec![1; 32].into();
    let error = read_all(&client.reader(find(&client, "key").await)).await.unwrap_err();
    assert!(matches!(error, ClientError::Corrupt { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_readers_fetch_a_cell_once() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 4096).await;
    let readers: Vec<_> = (0..8).map(|_| client.reader(Arc::clone(&found))).collect();
    let reads = readers.iter().map(|reader| reader.read(0, 4096));
    for content in futures_util::future::join_all(reads).await {
        assert_eq!(content.unwrap(), bytes(4096));
    }
    let requests = cluster.nodes[0].requests();
    assert_eq!(requests.iter().filter(|name| **name == "get").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_is_given_up_leaves_its_cells_to_whoever_waits_for_them() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 4096).await;
    let all = |fault: Option<NodeFault>| cluster.nodes.iter().for_each(|node| node.stored.lock().fault = fault.clone());
    let readers = [client.reader(Arc::clone(&found)), client.reader(found)];
    all(Some(NodeFault::Stopped));
    let mut first = Box::pin(readers[0].read(0, 4096));
    let mut second = Box::pin(readers[1].read(0, 4096));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    all(None);
    drop(first);
    assert_eq!(second.await.unwrap(), bytes(4096));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_cell_is_not_fetched_again() {
    let (cluster, _, _) = cluster_with_blob(small_layout(), 300_000).await;
    let options = ClientOptions { cache_bytes: 64 << 20, ..cluster.options() };
    let client = crate::client::Client::connect(options).await.unwrap();
    let reader = client.reader(find(&client, "key").await);
    let first = reader.read(150_000, 100).await.unwrap();
    let gets = || cluster.nodes.iter().map(|node| node.requests().len()).sum::<usize>();
    let before = gets();
    assert_eq!(reader.read(150_000, 100).await.unwrap(), first);
    assert_eq!(gets(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_reported_until_it_is_closed() {
    let (cluster, client, found) = cluster_with_blob(small_layout(), 1000).await;
    let segment = found.segments()[0].id;
    heartbeat(&cluster, |open| open.contains(&segment)).await;
    drop(found);
    heartbeat(&cluster, <[SegmentId]>::is_empty).await;
    // A lost session is replaced while something is open.
    let _found = find(&client, "key").await;
    cluster.master.state.lock().sessions.clear();
    heartbeat(&cluster, |open| open.contains(&segment)).await;
}

/// Waits for a heartbeat, from now on, that reports open segments of which `accepted` holds.
async fn heartbeat(cluster: &FakeCluster, accepted: impl Fn(&[SegmentId]) -> bool) {
    cluster.master.state.lock().heartbeats.clear();
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        assert!(Instant::now() < deadline, "no such heartbeat came");
        let last = cluster.master.state.lock().heartbeats.last().cloned();
        let segments = last.map(|last| last.open_segments.iter().map(|id| SegmentId::from_wire(id).unwrap()).collect());
        if segments.is_some_and(|segments: Vec<SegmentId>| accepted(&segments)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// For each row, up to two of its chunks with whether the cell is removed rather than damaged.
fn spoiled() -> impl Strategy<Value = Vec<Vec<(usize, bool)>>> {
    proptest::collection::vec(proptest::collection::vec((0..6_usize, any::<bool>()), 0..=2), 20)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_two_cells_of_each_row_may_be_missing_or_corrupt(
        spoiled in spoiled(),
        length in 1..=20 * 16_384_usize,
        reads in proptest::collection::vec((0..20 * 16_384_u64, 0..50_000_usize), 1..10),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let content = bytes(length);
        for (offset, wanted, read) in runtime.block_on(read_spoiled(length, spoiled, reads)) {
            let start = usize::try_from(offset).unwrap().min(length);
            let expected = &content[start..(start + wanted).min(length)];
            prop_assert_eq!(read, expected);
        }
    }
}

async fn read_spoiled(
    length: usize,
    spoiled: Vec<Vec<(usize, bool)>>,
    reads: Vec<(u64, usize)>,
) -> Vec<(u64, usize, Vec<u8>)> {
    let layout = small_layout();
    let (cluster, client, found) = cluster_with_blob(layout, length).await;
    let segment = &found.segments()[0];
    for (row, cells) in (0..layout.row_count(length as u64)).zip(spoiled) {
        let distinct: BTreeSet<usize> = cells.iter().map(|(chunk, _)| *chunk).collect();
        for chunk in distinct {
            if layout.cell_length(layout.row_length(length as u64, row), chunk) == 0 {
                continue;
            }
            let remove = cells.iter().any(|(other, remove)| *other == chunk && *remove);
            let position = layout.position(row);
            let node = cluster.node(segment.chunks[chunk].place.unwrap().node);
            node.spoil(segment.id, chunk, (position.stripe, position.row), remove);
        }
    }
    let reader = client.reader(Arc::clone(&found));
    let mut outcomes = Vec::new();
    for (offset, wanted) in reads {
        outcomes.push((offset, wanted, reader.read(offset, wanted).await.unwrap().to_vec()));
    }
    let whole = read_all(&client.reader(found)).await.unwrap();
    outcomes.push((0, length, whole));
    outcomes
}
