use bytes::Bytes;

use super::{digest, missing};
use crate::ids::{IncarnationId, NodeId, SegmentId, TransactionId};
use crate::{Refusal, wire};

/// Where a chunk lies: a node, and the life of its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkPlace {
    /// The node.
    pub node: NodeId,
    /// The life of the node's data in which the chunk was sealed.
    pub incarnation: IncarnationId,
}

/// One chunk of a sealed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// `None`: a hole that awaits repair.
    pub place: Option<ChunkPlace>,
    /// Cells that exist in this chunk; 0 means that it was never written and nothing is missing.
    pub cells: u64,
    /// Payload bytes of those cells.
    pub length_bytes: u64,
    /// Sum of the cells' digests; all zero when there is no cell.
    pub digest: [u8; 32],
}

impl Chunk {
    /// Whether the chunk has cells and no node keeps them.
    #[must_use]
    pub fn is_hole(&self) -> bool {
        self.place.is_none() && self.cells > 0
    }
}

/// Rows that one write froze by sealing.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// How it is cut and coded; not checked here.
    pub layout: wire::Layout,
    /// User bytes in it.
    pub length_bytes: u64,
    /// One for each of the layout's data and code chunks, in order.
    pub chunks: Vec<Chunk>,
    /// Blobs, live or awaiting collection, that have an extent in it.
    pub uses: u64,
    /// Raised by each re-pointing of a chunk.
    pub version: u64,
    /// The transaction that wrote it.
    pub transaction: TransactionId,
}

impl TryFrom<wire::Chunk> for Chunk {
    type Error = Refusal;

    fn try_from(chunk: wire::Chunk) -> Result<Self, Refusal> {
        let node = NodeId::from_wire_opt(&chunk.node)?;
        let incarnation = IncarnationId::from_wire_opt(&chunk.incarnation)?;
        let place = match (node, incarnation) {
            (Some(node), Some(incarnation)) => Some(ChunkPlace { node, incarnation }),
            (None, None) => None,
            _ => return Err(missing("node or incarnation of a chunk")),
        };
        let digest =
            if chunk.cells == 0 && chunk.digest.is_empty() { [0; 32] } else { digest("chunk digest", &chunk.digest)? };
        Ok(Self { place, cells: chunk.cells, length_bytes: chunk.length_bytes, digest })
    }
}

impl From<&Chunk> for wire::Chunk {
    fn from(chunk: &Chunk) -> Self {
        Self {
            node: chunk.place.map(|place| place.node.to_wire()).unwrap_or_default(),
            incarnation: chunk.place.map(|place| place.incarnation.to_wire()).unwrap_or_default(),
            cells: chunk.cells,
            length_bytes: chunk.length_bytes,
            digest: if chunk.cells == 0 { Bytes::new() } else { Bytes::copy_from_slice(&chunk.digest) },
        }
    }
}

impl TryFrom<wire::Segment> for Segment {
    type Error = Refusal;

    fn try_from(segment: wire::Segment) -> Result<Self, Refusal> {
        let layout = segment.layout.ok_or_else(|| missing("layout of a segment"))?;
        let chunks = segment.chunks.into_iter().map(Chunk::try_from).collect::<Result<Vec<_>, _>>()?;
        if chunks.len() as u64 != u64::from(layout.data) + u64::from(layout.code) {
            return Err(Refusal::InvalidRequest {
                why: format!("segment with {} chunks of layout {}+{}", chunks.len(), layout.data, layout.code),
            });
        }
        Ok(Self {
            id: SegmentId::from_wire(&segment.id)?,
            layout,
            length_bytes: segment.length_bytes,
            chunks,
            uses: segment.uses,
            version: segment.version,
            transaction: segment.transaction.ok_or_else(|| missing("transaction of a segment"))?.into(),
        })
    }
}

impl From<&Segment> for wire::Segment {
    fn from(segment: &Segment) -> Self {
        Self {
            id: segment.id.to_wire(),
            layout: Some(segment.layout),
            length_bytes: segment.length_bytes,
            chunks: segment.chunks.iter().map(wire::Chunk::from).collect(),
            uses: segment.uses,
            version: segment.version,
            transaction: Some(segment.transaction.into()),
        }
    }
}
