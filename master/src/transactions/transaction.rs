use cairn_proto::ids::SegmentId;
use cairn_proto::records::{ChunkPlace, Key};
use cairn_proto::wire;
use tokio::time::Instant;

use super::reservation::reserved_bytes;

/// An open write.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenTransaction {
    /// The segment it writes.
    pub segment: SegmentId,
    /// The key it will commit under; of one opened ahead, until its session names it, the key that was being opened.
    pub key: Key,
    /// Whether the key must not exist, and is held for it until it ends.
    pub exclusive: bool,
    /// Where its chunks go.
    pub places: Vec<ChunkPlace>,
    /// Bytes sent to each of them.
    pub sent_bytes: u64,
    /// Smallest reservation on each of them.
    pub cell_size_bytes: u64,
    /// What the client was told. `None`: an earlier master told it, or it was told with another transaction.
    pub answer: Option<wire::OpenTransactionResponse>,
    /// Last time that its session named it, or its opening.
    pub last_named: Instant,
}

impl OpenTransaction {
    /// Room reserved on each of its places.
    pub fn reserved_bytes(&self) -> u64 {
        reserved_bytes(self.sent_bytes, self.cell_size_bytes)
    }
}
