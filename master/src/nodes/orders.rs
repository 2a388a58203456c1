use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{BootId, ClusterId, SegmentId, SessionId};
use cairn_proto::records::Node;
use cairn_proto::{WireRefusal, wire};
use tokio::time::timeout;

use super::NodeClient;
use crate::store::Epoch;

/// How long a node has to admit a session: an open file waits for it.
const ADMIT_DEADLINE: Duration = Duration::from_secs(1);
/// How long a node has to carry out an order of a background job.
const JOB_DEADLINE: Duration = Duration::from_secs(10);

/// Why an order was not carried out, or is not known to have been.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The node refused, or the call failed.
    #[error(transparent)]
    Refused(#[from] WireRefusal),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Silent(Duration),
}

/// Orders of one elected master. Each carries who orders, so that nodes refuse the orders of its predecessors, and the
/// life of the node's data that it is meant for.
#[derive(Clone)]
pub struct Orders {
    client: Arc<dyn NodeClient>,
    cluster: ClusterId,
    cluster_epoch: u64,
    lease_epoch: Epoch,
}

async fn within<T>(deadline: Duration, call: impl Future<Output = Result<T, WireRefusal>>) -> Result<T, OrderError> {
    Ok(timeout(deadline, call).await.map_err(|_| OrderError::Silent(deadline))??)
}

impl Orders {
    /// Orders under these epochs.
    pub fn new(client: Arc<dyn NodeClient>, cluster: ClusterId, cluster_epoch: u64, lease_epoch: Epoch) -> Self {
        Self { client, cluster, cluster_epoch, lease_epoch }
    }

    /// The cluster.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    fn order(&self, node: &Node) -> wire::Order {
        wire::Order {
            cluster: self.cluster.to_wire(),
            cluster_epoch: self.cluster_epoch,
            lease_epoch: self.lease_epoch.0,
            incarnation: node.incarnation.to_wire(),
            record_version: 0,
        }
    }

    /// An order that rests on the state at a log index.
    fn order_of(&self, node: &Node, record_version: u64) -> wire::Order {
        wire::Order { record_version, ..self.order(node) }
    }

    /// Devices, boot and health of a node, without what this version of them says.
    pub async fn get_stats(
        &self,
        node: &Node,
        known_version: u64,
        deadline: Duration,
    ) -> Result<wire::GetStatsResponse, OrderError> {
        within(deadline, self.client.get_stats(&node.address, self.order(node), known_version)).await
    }

    /// Lets a session write on a node; answers for which life of its process.
    pub async fn admit(&self, node: &Node, session: SessionId) -> Result<BootId, OrderError> {
        within(ADMIT_DEADLINE, self.client.admit(&node.address, self.order(node), session)).await
    }

    /// Ends a session on a node.
    pub async fn revoke(&self, node: &Node, session: SessionId) -> Result<(), OrderError> {
        within(JOB_DEADLINE, self.client.revoke(&node.address, self.order(node), session)).await
    }

    /// Deletes segments on a node, as the state at log index `decided_at` says. What was rebuilt there on the order of a
    /// later state stays.
    pub async fn delete(&self, node: &Node, segments: &[SegmentId], decided_at: u64) -> Result<(), OrderError> {
        within(JOB_DEADLINE, self.client.delete(&node.address, self.order_of(node, decided_at), segments)).await
    }

    /// Sealed segments of a session on a node, or of all sessions (0).
    pub async fn list(
        &self,
        node: &Node,
        session: SessionId,
        start_after: Option<SegmentId>,
        limit: u32,
    ) -> Result<wire::ListBlobsResponse, OrderError> {
        let order = self.order(node);
        within(JOB_DEADLINE, self.client.list(&node.address, order, session, start_after, limit)).await
    }

    /// Has a node verify all that it keeps.
    pub async fn start_scrub(&self, node: &Node, bytes_per_second: u64, deadline: Duration) -> Result<(), OrderError> {
        within(deadline, self.client.start_scrub(&node.address, self.order(node), bytes_per_second)).await
    }

    /// Has a node make a chunk of a segment from others, as the state at log index `decided_at` says; answers the chunk as
    /// it is there.
    pub async fn rebuild(
        &self,
        node: &Node,
        request: wire::RebuildChunkRequest,
        decided_at: u64,
        progress: &(dyn Fn(wire::RebuildChunkResponse) + Send + Sync),
    ) -> Result<wire::Chunk, WireRefusal> {
        let request = wire::RebuildChunkRequest { order: Some(self.order_of(node, decided_at)), ..request };
        self.client.rebuild(&node.address, request, progress).await
    }
}
