//! Copies that reach their nodes by way of another node.

use bytes::Bytes;
use cairn_codec::Layout;
use cairn_proto::wire;

use crate::client::testing::{FakeCluster, NodeFault, bytes, find, holes, key, put, put_with_losses, read_all};
use crate::client::{ClientError, Precondition};

/// 1+3 with small cells.
fn copies() -> Layout {
    Layout::new(1, 3, 4096, 3 * 4096).unwrap()
}

/// Chunks 2 and 3 lie in one remote datacenter; it is entered at the node of chunk 2.
async fn start(spares: usize) -> FakeCluster {
    let cluster = FakeCluster::start_with_spares(copies(), spares).await;
    cluster.master.state.lock().relayed = vec![wire::RelayedChunk { chunk: 3, via_chunk: 2 }];
    cluster
}

/// What each node has of a blob is all of it.
async fn assert_every_copy_reads(cluster: &FakeCluster, name: &str, content: &[u8]) {
    let client = cluster.client().await;
    let found = find(&client, name).await;
    for reading in 0..4 {
        for (number, node) in cluster.nodes.iter().enumerate() {
            node.stored.lock().fault = (number != reading).then_some(NodeFault::Dead);
        }
        let reader = cluster.client().await.reader(found.clone());
        assert_eq!(read_all(&reader).await.unwrap(), content, "chunk {reading}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_relayed_is_not_sent_and_is_sealed() {
    let cluster = start(0).await;
    let client = cluster.client().await;
    for (name, length) in [("small", 1), ("row", 4096), ("large", 2_000_000)] {
        put(&client, name, &bytes(length)).await.unwrap();
        assert_eq!(holes(&find(&client, name).await.segments()[0]), [0; 0]);
    }
    assert_eq!(cluster.nodes[3].requests(), ["seal"; 3]);
    assert!(cluster.nodes[2].requests().contains(&"put"));
    for (name, length) in [("small", 1), ("row", 4096), ("large", 2_000_000)] {
        assert_every_copy_reads(&cluster, name, &bytes(length)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_written_again_reach_the_relayed_copy() {
    let cluster = start(0).await;
    let client = cluster.client().await;
    let mut segment = client.begin(&key("key"), Precondition::None, None).await.unwrap();
    let mut content = bytes(300 * 4096);
    for (row, data) in (0..).zip(content.chunks(4096)) {
        segment.write_row(row, Bytes::copy_from_slice(data)).await.unwrap();
    }
    for row in [0_usize, 7, 150, 299, 7] {
        let data = vec![u8::try_from(row % 250).unwrap() + 1; 4096];
        segment.write_row(row as u64, data.clone().into()).await.unwrap();
        content[row * 4096..][..4096].copy_from_slice(&data);
        assert_eq!(segment.read_row(row as u64, 4096).await.unwrap(), data);
    }
    let sealed = segment.seal().await.unwrap();
    assert_eq!(holes(&sealed), [0; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_to_which_nothing_was_passed_on_is_a_hole() {
    let cluster = start(0).await;
    cluster.nodes[2].fail(NodeFault::PassesNothingOn);
    let client = cluster.client().await;
    for (name, length) in [("small", 5000), ("large", 1_000_000)] {
        put(&client, name, &bytes(length)).await.unwrap();
        assert_eq!(holes(&find(&client, name).await.segments()[0]), [3]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_lost_in_mid_write_takes_its_copies_with_it() {
    let cluster = start(0).await;
    let client = cluster.client().await;
    let content = bytes(3_000_000);
    let found = put_with_losses(&cluster, &client, &content, &[2]).await;
    assert_eq!(holes(&found.segments()[0]), [2, 3], "two of four may be missing");
    assert_eq!(read_all(&client.reader(found)).await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_hole_is_left_the_entry_and_its_copies_are_replaced() {
    let cluster = start(2).await;
    let client = cluster.client().await;
    cluster.nodes[0].fail(NodeFault::Dead);
    let content = bytes(3_000_000);
    let found = put_with_losses(&cluster, &client, &content, &[2]).await;
    assert!(holes(&found.segments()[0]).len() <= 2, "{:?}", holes(&found.segments()[0]));
    assert_eq!(read_all(&client.reader(found)).await.unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_cannot_be_is_refused() {
    let cluster = start(0).await;
    let client = cluster.client().await;
    let relayed = |chunk, via_chunk| wire::RelayedChunk { chunk, via_chunk };
    for plan in [vec![relayed(1, 1)], vec![relayed(9, 0)], vec![relayed(1, 9)], vec![relayed(1, 2), relayed(2, 3)]] {
        cluster.master.state.lock().relayed.clone_from(&plan);
        let error = client.begin(&key("key"), Precondition::None, None).await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{plan:?}: {error}");
    }
    cluster.master.state.lock().relayed = vec![relayed(3, 2)];
    let coded = Layout::new(2, 2, 4096, 1 << 20).unwrap();
    let error = client.begin(&key("key"), Precondition::None, Some(coded)).await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
}
