use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::ids::NodeId;
use cairn_proto::records::{Attributes, Key, KeyEntry, Segment};

use super::fake_node::Peers;
use super::{FakeMaster, FakeNode, NodeFault};
use crate::client::{BlobReader, Client, ClientError, ClientOptions, FoundBlob, Precondition};

/// One fake master and fake nodes.
pub(in crate::client) struct FakeCluster {
    pub(in crate::client) master: FakeMaster,
    pub(in crate::client) nodes: Vec<FakeNode>,
}

impl FakeCluster {
    /// With as many nodes as the layout has chunks; chunk i goes to node i.
    pub(in crate::client) async fn start(layout: Layout) -> Self {
        Self::start_with_spares(layout, 0).await
    }

    /// With further nodes, which take the place of others only.
    pub(in crate::client) async fn start_with_spares(layout: Layout, spares: usize) -> Self {
        let (mut nodes, peers) = (Vec::new(), Peers::default());
        for number in 1..=layout.chunks() + spares {
            nodes.push(FakeNode::start(format!("node-{number}"), &peers).await);
        }
        let master = FakeMaster::start(layout, nodes.iter().map(|node| node.info.clone()).collect()).await;
        Self { master, nodes }
    }

    pub(in crate::client) fn options(&self) -> ClientOptions {
        let options = ClientOptions::new(vec![self.master.address.clone()], "test");
        ClientOptions { deadline: Duration::from_secs(10), kept_contents_bytes: 0, cache_bytes: 0, ..options }
    }

    pub(in crate::client) async fn client(&self) -> Client {
        Client::connect(self.options()).await.unwrap()
    }

    pub(in crate::client) fn node(&self, id: NodeId) -> &FakeNode {
        self.nodes.iter().find(|node| node.info.id == id.to_wire()).unwrap()
    }
}

pub(in crate::client) fn key(text: &str) -> Key {
    Key::try_from(text).unwrap()
}

/// Bytes in which every cell differs.
pub(in crate::client) fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at * 31 + at / 4096 * 7) % 251).unwrap()).collect()
}

pub(in crate::client) async fn put(client: &Client, name: &str, content: &[u8]) -> Result<KeyEntry, ClientError> {
    let mut writer = client.writer(key(name), Precondition::None, None);
    for part in content.chunks(10_000) {
        writer.write(part).await?;
    }
    writer.commit(Attributes::default()).await
}

pub(in crate::client) async fn find(client: &Client, name: &str) -> Arc<FoundBlob> {
    Arc::new(client.look_up(&key(name)).await.unwrap().unwrap())
}

pub(in crate::client) async fn read_all(reader: &BlobReader) -> Result<Vec<u8>, ClientError> {
    let (mut content, mut rows) = (Vec::new(), reader.verified_rows());
    while let Some(row) = rows.next().await? {
        content.extend_from_slice(&row);
    }
    Ok(content)
}

/// Chunks that are at no node.
pub(in crate::client) fn holes(segment: &Segment) -> Vec<usize> {
    (0..segment.chunks.len()).filter(|chunk| segment.chunks[*chunk].is_hole()).collect()
}

/// Writes a key, whose nodes `lost` die in the middle, and finds what was committed.
pub(in crate::client) async fn put_with_losses(
    cluster: &FakeCluster,
    client: &Client,
    content: &[u8],
    lost: &[usize],
) -> Arc<FoundBlob> {
    let mut writer = client.writer(key("key"), Precondition::None, None);
    let (before, after) = content.split_at(content.len() / 2);
    writer.write(before).await.unwrap();
    for node in lost {
        cluster.nodes[*node].fail(NodeFault::Dead);
    }
    writer.write(after).await.unwrap();
    writer.commit(Attributes::default()).await.unwrap();
    find(client, "key").await
}
