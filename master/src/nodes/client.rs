use cairn_proto::ids::{BootId, SegmentId, SessionId};
use cairn_proto::{WireRefusal, wire};
use tonic::async_trait;

/// Calls to storage nodes. Deadlines are the caller's.
#[async_trait]
pub trait NodeClient: Send + Sync {
    /// Devices, boot and health of a node, without what this version of them says.
    async fn get_stats(
        &self,
        address: &str,
        order: wire::Order,
        known_version: u64,
    ) -> Result<wire::GetStatsResponse, WireRefusal>;

    /// Lets a session write there; answers for which life of the process.
    async fn admit(&self, address: &str, order: wire::Order, session: SessionId) -> Result<BootId, WireRefusal>;

    /// Ends a session there.
    async fn revoke(&self, address: &str, order: wire::Order, session: SessionId) -> Result<(), WireRefusal>;

    /// Deletes segments there, as far as they are there.
    async fn delete(&self, address: &str, order: wire::Order, segments: &[SegmentId]) -> Result<(), WireRefusal>;

    /// Sealed segments of a session, in id order.
    async fn list(
        &self,
        address: &str,
        order: wire::Order,
        session: SessionId,
        start_after: Option<SegmentId>,
        limit: u32,
    ) -> Result<wire::ListBlobsResponse, WireRefusal>;

    /// Has all that is kept there verified at once.
    async fn start_scrub(&self, address: &str, order: wire::Order, bytes_per_second: u64) -> Result<(), WireRefusal>;

    /// Has a chunk made there, durably; tells how far it is on the way.
    async fn rebuild(
        &self,
        address: &str,
        request: wire::RebuildChunkRequest,
        progress: &(dyn Fn(wire::RebuildChunkResponse) + Send + Sync),
    ) -> Result<wire::Chunk, WireRefusal>;
}
