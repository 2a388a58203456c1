use cairn_proto::Refusal;
use cairn_proto::ids::{ClusterId, IncarnationId};
use cairn_proto::wire;

use super::cluster::{Answer, FakeMaster, TestNode, is, refusal};
use crate::fixtures::SESSION;

fn admission(order: wire::Order) -> wire::CreateBlobRequest {
    wire::CreateBlobRequest { order: Some(order), session: SESSION.0 }
}

#[tokio::test]
async fn a_deposed_masters_orders_are_refused_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let mut node = TestNode::start_with(dir.path(), &master).await;
    let newer = wire::Order { lease_epoch: 7, ..node.order() };
    node.control.create_blob(admission(newer)).await.unwrap();
    let older = wire::Order { lease_epoch: 6, ..node.order() };
    let status = node.control.create_blob(admission(older.clone())).await.unwrap_err();
    assert_eq!(refusal(&status), Refusal::StaleOrder { seen: "epoch 1.7".to_owned() });
    node.stop().await.unwrap();

    let node = cairn_node::RunningNode::start(super::cluster::config(dir.path(), &[master.address.to_string()]));
    let node = node.await.unwrap();
    let address = node.address();
    let run = tokio::spawn(node.run_until(std::future::pending()));
    let mut control = wire::node_control_client::NodeControlClient::connect(format!("http://{address}")).await.unwrap();
    let status = control.create_blob(admission(older)).await.unwrap_err();
    assert!(is(&status, "STALE_ORDER"), "{status}");
    run.abort();
}

#[tokio::test]
async fn orders_for_another_cluster_or_another_life_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    let foreign = wire::Order { cluster: ClusterId::generate().to_wire(), ..node.order() };
    let status = node.control.create_blob(admission(foreign)).await.unwrap_err();
    assert!(is(&status, "FOREIGN_CLUSTER"), "{status}");
    let other_life = wire::Order { incarnation: IncarnationId::generate().to_wire(), ..node.order() };
    let delete = wire::DeleteBlobRequest { order: Some(other_life), segments: Vec::new() };
    let status = node.control.delete_blob(delete).await.unwrap_err();
    assert!(is(&status, "WRONG_INCARNATION"), "{status}");
    let status = node.control.get_stats(wire::GetStatsRequest::default()).await.unwrap_err();
    assert!(is(&status, "INVALID_REQUEST"), "{status}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn stats_inventory_and_deletion_agree() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    let chunk = node.sealed_chunk(3).await;
    let stats = node.stats().await.unwrap();
    assert_eq!((stats.sealed_chunks, stats.open_segments, stats.refusing_writes.as_str()), (1, 0, ""));
    let device = &stats.node.unwrap().devices[0];
    assert!(device.used_bytes >= 3_000 && device.used_bytes < device.limit_bytes);

    let list = wire::ListBlobsRequest { order: Some(node.order()), ..wire::ListBlobsRequest::default() };
    let page = node.control.list_blobs(list.clone()).await.unwrap().into_inner();
    assert!(!page.more);
    assert_eq!(page.chunks[0].segment, chunk.target.segment.to_wire());
    assert_eq!((page.chunks[0].cells, page.chunks[0].length_bytes), (3, 3_000));
    assert_eq!(page.chunks[0].digest.as_ref(), chunk.tally().digest.as_bytes());

    let segments = vec![chunk.target.segment.to_wire()];
    let delete = wire::DeleteBlobRequest { order: Some(node.order()), segments };
    node.control.delete_blob(delete.clone()).await.unwrap();
    node.control.delete_blob(delete).await.unwrap();
    assert!(node.control.list_blobs(list).await.unwrap().into_inner().chunks.is_empty());
    assert!(is(&node.read(&chunk, 0, 1).await.unwrap_err(), "CHUNK_NOT_FOUND"));
    node.stop().await.unwrap();
}
