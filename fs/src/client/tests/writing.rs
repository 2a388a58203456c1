use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_codec::Layout;
use cairn_proto::Refusal;
use cairn_proto::records::KEPT_CONTENTS_LIMIT_BYTES;

use super::small_layout;
use crate::client::testing::{FakeCluster, FakeNode, NodeFault, bytes, find, key, put, read_all};
use crate::client::{Client, ClientError, ClientOptions, Precondition};

/// What the design allows for a copy while one node is stopped.
const STOPPED_NODE_LIMIT: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_any_length_reads_back() {
    let layout = small_layout();
    let cluster = FakeCluster::start(layout).await;
    let client = cluster.client().await;
    let (cell, row) = (layout.cell_size_bytes(), layout.row_size_bytes());
    let stripe = 3 * row;
    for around in [1, cell, 2 * cell, row, 2 * row, stripe, 2 * stripe, 40 * row] {
        for length in [around - 1, around, around + 1] {
            let name = format!("{length} bytes");
            let entry = put(&client, &name, &bytes(length)).await.unwrap();
            assert_eq!(entry.size_bytes, length as u64);
            let reader = client.reader(find(&client, &name).await);
            assert_eq!(read_all(&reader).await.unwrap(), bytes(length), "{length} bytes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_blob_touches_no_node() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    put(&client, "empty", b"").await.unwrap();
    assert!(cluster.nodes.iter().all(|node| node.requests().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_blob_takes_one_request_at_each_node_it_touches() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    put(&client, "small", &bytes(1000)).await.unwrap();
    let requests: Vec<_> = cluster.nodes.iter().map(FakeNode::requests).collect();
    let one = vec!["seal"];
    let none = Vec::new();
    assert_eq!(requests, [one.clone(), none.clone(), none.clone(), none, one.clone(), one]);
}

/// A client of which the masters keep small segments.
async fn keeping(cluster: &FakeCluster) -> Client {
    let options = ClientOptions { kept_contents_bytes: KEPT_CONTENTS_LIMIT_BYTES, ..cluster.options() };
    Client::connect(options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_of_a_page_is_kept_by_the_masters() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = keeping(&cluster).await;
    let lengths = [1, 100, 4095, 4096];
    for length in lengths {
        put(&client, &format!("{length} bytes"), &bytes(length)).await.unwrap();
    }
    assert!(cluster.nodes.iter().all(|node| node.requests().is_empty()));
    put(&client, "on nodes", &bytes(4097)).await.unwrap();
    assert!(find(&client, "on nodes").await.segments()[0].contents.is_none());
    cluster.nodes.iter().for_each(|node| node.fail(NodeFault::Dead));
    for length in lengths {
        let found = find(&client, &format!("{length} bytes")).await;
        assert_eq!(read_all(&client.reader(found)).await.unwrap(), bytes(length));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_row_that_grows_or_is_followed_goes_to_the_nodes_after_all() {
    let layout = small_layout();
    let cluster = FakeCluster::start(layout).await;
    let client = keeping(&cluster).await;
    let content = bytes(2 * layout.row_size_bytes());
    let (first, second) = content.split_at(layout.row_size_bytes());
    // Each case: the rows written, in order, and what is read back of row 0 in between.
    for (written, expected) in [
        (vec![(0, &first[..100]), (0, &first[..300]), (0, &first[..5000])], 5000),
        (vec![(0, &first[..100]), (1, &second[..50]), (0, first)], first.len() + 50),
        (vec![(1, &second[..50]), (0, first)], first.len() + 50),
    ] {
        let mut segment = client.begin(&key("key"), Precondition::None, None).await.unwrap();
        for (row, data) in written {
            segment.write_row(row, Bytes::copy_from_slice(data)).await.unwrap();
            let read = segment.read_row(row, data.len()).await.unwrap();
            assert_eq!(read, data);
        }
        let sealed = segment.seal().await.unwrap();
        assert_eq!((sealed.contents, sealed.length_bytes), (None, expected as u64));
    }
    let mut segment = client.begin(&key("key"), Precondition::None, None).await.unwrap();
    segment.write_row(0, Bytes::copy_from_slice(&first[..300])).await.unwrap();
    segment.write_row(0, Bytes::from_static(b"again")).await.unwrap();
    let sealed = segment.seal().await.unwrap();
    let kept = sealed.contents.unwrap();
    assert_eq!((&kept.bytes()[..5], &kept.bytes()[5..]), (&b"again"[..], &[0; 295][..]), "a row keeps its length");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_written_one_after_the_other_are_opened_ahead() {
    const FILES: usize = 40;
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let mut segments = HashSet::new();
    for file in 0..FILES {
        let name = format!("file {file}");
        put(&client, &name, &bytes(1000 + file)).await.unwrap();
        let found = find(&client, &name).await;
        segments.insert(found.segments()[0].id);
        assert_eq!(read_all(&client.reader(found)).await.unwrap(), bytes(1000 + file));
    }
    assert_eq!(segments.len(), FILES);
    assert!(cluster.master.state.lock().openings_received < FILES);
    let taken = client.begin(&key("file 0"), Precondition::Absent, None).await;
    assert!(matches!(taken, Err(ClientError::KeyExists { .. })), "a name is held by the masters alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_refuses_becomes_a_hole() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    cluster.nodes[1].fail(NodeFault::RefusesWrites(Refusal::WrongBoot { current: "another".to_owned() }));
    let content = bytes(100_000);
    put(&client, "key", &content).await.unwrap();
    let found = find(&client, "key").await;
    let holes: Vec<bool> = found.segments()[0].chunks.iter().map(cairn_proto::records::Chunk::is_hole).collect();
    assert_eq!(holes, [false, true, false, false, false, false]);
    assert_eq!(found.segments()[0].chunks[1].cells, 6);
    assert_eq!(read_all(&client.reader(found)).await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_becomes_a_hole_in_time() {
    for length in [1000, 8 << 20] {
        let cluster = FakeCluster::start(small_layout()).await;
        let client = cluster.client().await;
        cluster.nodes[0].fail(NodeFault::Stopped);
        let start = Instant::now();
        put(&client, "key", &bytes(length)).await.unwrap();
        assert!(start.elapsed() < STOPPED_NODE_LIMIT, "{length} bytes took {:?}", start.elapsed());
        let found = find(&client, "key").await;
        assert!(found.segments()[0].chunks[0].is_hole());
        // The node is named to the master, so the next write opens without it.
        let start = Instant::now();
        put(&client, "next", &bytes(length)).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_loses_too_many_nodes_fails_and_names_them() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    for node in &cluster.nodes[2..4] {
        node.fail(NodeFault::RefusesWrites(Refusal::NotAdmitted { session: "1".to_owned() }));
    }
    let error = put(&client, "key", &bytes(100_000)).await.unwrap_err();
    assert!(matches!(error, ClientError::TargetsLost { .. }), "{error}");
    assert!(error.to_string().contains("node-3") && error.to_string().contains("node-4"), "{error}");
    assert_eq!(client.entry(&key("key")).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn full_nodes_are_no_space() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    for node in &cluster.nodes[2..4] {
        node.fail(NodeFault::RefusesWrites(Refusal::NodeRefusesWrites { why: "full".to_owned() }));
    }
    let error = put(&client, "key", &bytes(100_000)).await.unwrap_err();
    assert!(matches!(error, ClientError::NoSpace { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_with_one_spare_allows_no_hole() {
    let cluster = FakeCluster::start(Layout::new(2, 1, 4096, 1 << 20).unwrap()).await;
    let client = cluster.client().await;
    cluster.nodes[0].fail(NodeFault::Dead);
    let error = put(&client, "key", &bytes(100)).await.unwrap_err();
    assert!(matches!(error, ClientError::TargetsLost { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_writer_aborts_its_transaction() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let segment = client.begin(&key("key"), Precondition::None, None).await.unwrap();
    let transaction = segment.transaction();
    drop(segment);
    let deadline = Instant::now() + Duration::from_secs(5);
    while !cluster.master.state.lock().aborted.contains(&transaction.into()) {
        assert!(Instant::now() < deadline, "the transaction was not aborted");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_with_a_missing_row_is_not_sealed() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let mut segment = client.begin(&key("key"), Precondition::None, None).await.unwrap();
    segment.write_row(1, Bytes::from(bytes(100))).await.unwrap();
    assert!(matches!(segment.seal().await, Err(ClientError::InvalidRequest { .. })));
}
