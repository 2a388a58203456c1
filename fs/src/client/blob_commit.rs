use cairn_codec::Digest;
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Extent, Key, Segment};

use super::Precondition;

/// All that makes a blob visible under a key.
#[derive(Debug, Clone)]
pub struct BlobCommit {
    /// The key to point at the blob.
    pub key: Key,
    /// What the key must be now.
    pub precondition: Precondition,
    /// [`BlobId::generate`]; a new one for every commit with new bytes.
    pub blob: BlobId,
    /// Where the bytes are, in order; none for an empty blob. All extents share one layout, and
    /// every row but the blob's last is full.
    pub extents: Vec<Extent>,
    /// The segment that this commit is the first to use; `None` when all extents were committed before.
    pub sealed: Option<Segment>,
    /// Length: the sum over the extents.
    pub size_bytes: u64,
    /// Sum of [`cairn_codec::row_digest`] over the blob's rows.
    pub digest: Digest,
    /// Of the file.
    pub attributes: Attributes,
    /// Signal that killed the writer before it closed the file; 0 when none did.
    pub writer_killed_by_signal: u32,
}
