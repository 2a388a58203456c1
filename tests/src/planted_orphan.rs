//! A chunk that a node keeps and nothing names, put there by whoever speaks as the elected master.

use cairn_codec::{CellId, Frame};
use cairn_fs::client::Client;
use cairn_proto::ids::SegmentId;
use cairn_proto::wire;
use cairn_proto::wire::chunks_client::ChunksClient;
use cairn_proto::wire::node_control_client::NodeControlClient;
use tonic::transport::Channel;

/// A session that no master ever opened.
const UNKNOWN_SESSION: u64 = 1 << 60;

/// Seals a chunk of one cell on the node of this name; `None` if it, or the masters, do not answer.
pub async fn plant_orphan(client: &Client, node: &str, payload: &[u8]) -> Option<SegmentId> {
    let (cluster, leader) = (client.status().await.ok()?, client.leader().await.ok()?.lease?);
    let node = cluster.nodes.into_iter().find(|found| found.name == node)?;
    let order = wire::Order {
        cluster: cluster.cluster,
        cluster_epoch: 1,
        lease_epoch: leader.epoch,
        incarnation: node.incarnation.clone(),
        record_version: 0,
    };
    let channel = Channel::from_shared(format!("http://{}", node.address)).ok()?.connect().await.ok()?;
    let admission = wire::CreateBlobRequest { order: Some(order), session: UNKNOWN_SESSION };
    let admitted = NodeControlClient::new(channel.clone()).create_blob(admission).await.ok()?.into_inner();
    let segment = SegmentId::generate();
    let frame = Frame::from_payload(&CellId { segment: *segment.as_bytes(), stripe: 0, row: 0, chunk: 0 }, payload);
    let chunk = wire::Chunk {
        cells: 1,
        length_bytes: payload.len() as u64,
        digest: frame.digest().as_bytes().to_vec().into(),
        ..wire::Chunk::default()
    };
    let target = wire::ChunkTarget {
        transaction: Some(wire::TransactionId { session: UNKNOWN_SESSION, sequence: 1 }),
        segment: segment.to_wire(),
        chunk_index: 0,
        incarnation: node.incarnation,
        boot: admitted.boot,
    };
    let request = wire::SealBlobRequest {
        target: Some(target),
        cells: vec![frame.into_bytes()],
        expected: Some(chunk),
        relays: Vec::new(),
    };
    ChunksClient::new(channel).seal_blob(request).await.ok()?;
    Some(segment)
}
