use bytes::Bytes;

use super::{Key, digest};
use crate::ids::{BlobId, SegmentId, SessionId};
use crate::{Refusal, wire};

/// A run of whole rows of a segment; only the last row of a blob may be part-filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The segment.
    pub segment: SegmentId,
    /// First row of the run, counted over the whole segment.
    pub first_row: u64,
    /// Rows in the run.
    pub rows: u64,
    /// User bytes in the run.
    pub length_bytes: u64,
}

/// Whether a key points, or may again point, at the blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobState {
    /// A key points at it.
    Live,
    /// Marked deleted by the command at `index`; collected later.
    Deleted {
        /// Log index of the deletion.
        index: u64,
        /// Milliseconds since 1970, for people.
        at_ms: u64,
    },
}

/// Immutable bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// Its id.
    pub id: BlobId,
    /// The inode number of a mount.
    pub serial: u64,
    /// The key it was committed under.
    pub key: Key,
    /// Length.
    pub size_bytes: u64,
    /// Where the bytes are, in order. Empty for an empty blob.
    pub extents: Vec<Extent>,
    /// Sum of the rows' digests.
    pub digest: [u8; 32],
    /// Live, or awaiting collection.
    pub state: BlobState,
    /// Milliseconds since 1970, for people.
    pub created_at_ms: u64,
    /// Signal that killed the writer before it closed the file; 0 when none did.
    pub writer_killed_by_signal: u32,
    /// The session that committed it; 0 in records that do not say.
    pub session: SessionId,
}

impl TryFrom<wire::Extent> for Extent {
    type Error = Refusal;

    fn try_from(extent: wire::Extent) -> Result<Self, Refusal> {
        if extent.rows == 0 || extent.length_bytes == 0 {
            return Err(Refusal::InvalidRequest { why: "an extent without rows or bytes".to_owned() });
        }
        Ok(Self {
            segment: SegmentId::from_wire(&extent.segment)?,
            first_row: extent.first_row,
            rows: extent.rows,
            length_bytes: extent.length_bytes,
        })
    }
}

impl From<&Extent> for wire::Extent {
    fn from(extent: &Extent) -> Self {
        Self {
            segment: extent.segment.to_wire(),
            first_row: extent.first_row,
            rows: extent.rows,
            length_bytes: extent.length_bytes,
        }
    }
}

impl TryFrom<wire::Blob> for Blob {
    type Error = Refusal;

    fn try_from(blob: wire::Blob) -> Result<Self, Refusal> {
        let state = match blob.state() {
            wire::BlobState::Live => BlobState::Live,
            wire::BlobState::Deleted => BlobState::Deleted { index: blob.deleted_index, at_ms: blob.deleted_at_ms },
            wire::BlobState::Unspecified => return Err(super::missing("state of a blob")),
        };
        Ok(Self {
            id: BlobId::from_wire(&blob.id)?,
            serial: blob.serial,
            key: blob.key.try_into()?,
            size_bytes: blob.size_bytes,
            extents: blob.extents.into_iter().map(Extent::try_from).collect::<Result<_, _>>()?,
            digest: digest("blob digest", &blob.digest)?,
            state,
            created_at_ms: blob.created_at_ms,
            writer_killed_by_signal: blob.writer_killed_by_signal,
            session: SessionId(blob.session),
        })
    }
}

impl From<&Blob> for wire::Blob {
    fn from(blob: &Blob) -> Self {
        let (state, deleted_index, deleted_at_ms) = match blob.state {
            BlobState::Live => (wire::BlobState::Live, 0, 0),
            BlobState::Deleted { index, at_ms } => (wire::BlobState::Deleted, index, at_ms),
        };
        Self {
            id: blob.id.to_wire(),
            serial: blob.serial,
            key: blob.key.as_str().to_owned(),
            size_bytes: blob.size_bytes,
            extents: blob.extents.iter().map(wire::Extent::from).collect(),
            digest: Bytes::copy_from_slice(&blob.digest),
            state: state.into(),
            created_at_ms: blob.created_at_ms,
            deleted_at_ms,
            deleted_index,
            writer_killed_by_signal: blob.writer_killed_by_signal,
            session: blob.session.0,
        }
    }
}
