use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use cairn_node::{Config, DeviceConfig, DeviceError, IdentityError, RunError, RunningNode};
use cairn_proto::ids::ClusterId;
use cairn_proto::wire;

use super::cluster::{Answer, FakeMaster, TestNode, config, is};
use crate::fixtures::{Chunk, SESSION, at, payload};

const CHUNK_BYTES: usize = 100_000;

/// A node with its identity in one folder, and a device in each of two others.
fn with_devices(dir: &Path, master: &FakeMaster) -> Config {
    let device = |name: &str| DeviceConfig { name: name.to_owned(), dir: dir.join(name), limit: None };
    let mut config = config(&dir.join("home"), &[master.address.to_string()]);
    config.memory = "96MiB".parse().unwrap();
    config.devices = vec![device("fast"), device("slow")];
    config
}

async fn sealed_chunks(node: &mut TestNode, count: u64) -> Vec<Chunk> {
    node.admit(SESSION).await.unwrap();
    let mut chunks = Vec::new();
    for sequence in 1..=count {
        let mut chunk = Chunk::new(sequence);
        let frames = vec![chunk.cell(at(0, 0), &payload(sequence, CHUNK_BYTES))];
        node.seal(&chunk, frames).await.unwrap();
        chunks.push(chunk);
    }
    chunks
}

async fn listed(node: &mut TestNode) -> BTreeSet<Bytes> {
    let request = wire::ListBlobsRequest { order: Some(node.order()), ..wire::ListBlobsRequest::default() };
    let page = node.control.list_blobs(request).await.unwrap().into_inner();
    assert!(!page.more && page.chunks.is_sorted_by_key(|chunk| chunk.segment.clone()));
    page.chunks.into_iter().map(|chunk| chunk.segment).collect()
}

#[tokio::test]
async fn a_node_tells_what_each_of_its_devices_holds() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let mut node = TestNode::start_as(with_devices(dir.path(), &master), &master).await;
    let chunks = sealed_chunks(&mut node, 20).await;
    let stats = node.stats().await.unwrap();
    let devices = stats.node.unwrap().devices;
    assert_eq!(devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["fast", "slow"]);
    for device in &devices {
        assert!(device.used_bytes >= 3 * CHUNK_BYTES as u64 && device.limit_bytes > device.used_bytes, "{device:?}");
    }
    assert_eq!((stats.sealed_chunks, listed(&mut node).await.len()), (20, 20));
    node.stop().await.unwrap();

    let mut node = TestNode::start_as(with_devices(dir.path(), &master), &master).await;
    for chunk in &chunks {
        assert_eq!(node.read(chunk, 0, 1).await.unwrap().len(), 1);
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_whose_device_is_lost_goes_on_without_it_only_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let mut node = TestNode::start_as(with_devices(dir.path(), &master), &master).await;
    let (chunks, incarnation) = (sealed_chunks(&mut node, 20).await, node.info.incarnation.clone());
    node.stop().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("slow")).unwrap();

    let refused = RunningNode::start(with_devices(dir.path(), &master)).await.err();
    let missing = |error: &RunError| matches!(error, RunError::Identity(IdentityError::Device(DeviceError::Missing { name, .. })) if name == "slow");
    assert!(refused.as_ref().is_some_and(missing), "{refused:?}");

    let without = Config { without_devices: vec!["slow".to_owned()], ..with_devices(dir.path(), &master) };
    let mut node = TestNode::start_as(without, &master).await;
    assert_eq!(node.info.incarnation, incarnation, "what is left is still there");
    let left = listed(&mut node).await;
    assert!((3..=17).contains(&left.len()), "{} chunks are left", left.len());
    for chunk in &chunks {
        let read = node.read(chunk, 0, 1).await;
        if left.contains(&chunk.target.segment.to_wire()) {
            assert_eq!(read.unwrap().len(), 1);
        } else {
            assert!(is(&read.unwrap_err(), "CHUNK_NOT_FOUND"));
        }
    }
    assert_eq!(node.stats().await.unwrap().node.unwrap().devices.len(), 1);
    node.stop().await.unwrap();
    // An empty disk in its place is a new device.
    let mut node = TestNode::start_as(with_devices(dir.path(), &master), &master).await;
    assert_eq!((node.info.devices.len(), listed(&mut node).await), (2, left));
    node.stop().await.unwrap();
}
