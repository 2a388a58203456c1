use cairn_codec::Layout;
use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::records::{Attributes, Extent, Key, Segment};
use cairn_proto::{Refusal, wire};

use super::Precondition;
use crate::layouts::checked_layout;

/// Extents that a blob may have; a commit that would pass it rewrites the file as one.
const EXTENTS_LIMIT: usize = 64;

/// A request to make a blob visible, as far as it can be checked by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitRequest {
    /// The key.
    pub key: Key,
    /// What the key must be.
    pub precondition: Precondition,
    /// The new blob.
    pub blob: BlobId,
    /// Where its bytes are.
    pub extents: Vec<Extent>,
    /// The segment that this commit seals, and its layout, checked.
    pub sealed: Option<(Segment, Layout)>,
    /// Length.
    pub size_bytes: u64,
    /// Sum of its rows' digests.
    pub digest: [u8; 32],
    /// Attributes of the file.
    pub attributes: Attributes,
    /// Signal that killed the writer; 0 when none did.
    pub writer_killed_by_signal: u32,
}

impl CommitRequest {
    /// Every segment that the extents name, once each.
    pub fn segments(&self) -> Vec<SegmentId> {
        let mut ids: Vec<SegmentId> = self.extents.iter().map(|extent| extent.segment).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

impl TryFrom<wire::CommitBlobRequest> for CommitRequest {
    type Error = Refusal;

    fn try_from(request: wire::CommitBlobRequest) -> Result<Self, Refusal> {
        let invalid = |why: String| Refusal::InvalidRequest { why };
        if request.extents.len() > EXTENTS_LIMIT {
            return Err(invalid(format!("{} extents; at most {EXTENTS_LIMIT} are kept", request.extents.len())));
        }
        let digest = <[u8; 32]>::try_from(request.digest.as_ref())
            .map_err(|_| invalid(format!("a digest of {} bytes, not 32", request.digest.len())))?;
        let attributes = request.attributes.ok_or_else(|| invalid("attributes are missing".to_owned()))?;
        let sealed = match request.sealed {
            Some(segment) => {
                let segment = Segment::try_from(segment)?;
                let layout = checked_layout(&segment.layout)?;
                Some((segment, layout))
            }
            None => None,
        };
        Ok(Self {
            key: request.key.try_into()?,
            precondition: request.precondition.try_into()?,
            blob: BlobId::from_wire(&request.blob)?,
            extents: request.extents.into_iter().map(Extent::try_from).collect::<Result<_, _>>()?,
            sealed,
            size_bytes: request.size_bytes,
            digest,
            attributes: attributes.try_into()?,
            writer_killed_by_signal: request.writer_killed_by_signal,
        })
    }
}
