use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::{Refusal, wire};

/// A sealed chunk as its node lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedChunk {
    /// Its segment.
    pub segment: SegmentId,
    /// Whose transaction wrote it; no client's for a chunk that was rebuilt.
    pub session: SessionId,
    /// Its place in every row.
    pub chunk_index: u32,
    /// Its cells.
    pub cells: u64,
    /// Their payload bytes.
    pub length_bytes: u64,
    /// Sum of the cells' digests.
    pub digest: [u8; 32],
}

impl TryFrom<wire::ListedChunk> for ListedChunk {
    type Error = Refusal;

    fn try_from(listed: wire::ListedChunk) -> Result<Self, Refusal> {
        let invalid = |why: &str| Refusal::InvalidRequest { why: why.to_owned() };
        let transaction = listed.transaction.ok_or_else(|| invalid("transaction of a listed chunk is missing"))?;
        let digest = listed.digest.as_ref().try_into();
        Ok(Self {
            segment: SegmentId::from_wire(&listed.segment)?,
            session: SessionId(transaction.session),
            chunk_index: listed.chunk_index,
            cells: listed.cells,
            length_bytes: listed.length_bytes,
            digest: digest.map_err(|_| invalid("digest of a listed chunk is not 32 bytes"))?,
        })
    }
}
