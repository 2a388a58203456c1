use bytes::Bytes;

use super::{KeptContents, digest, missing};
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
///
/// The default has no cell, and needs no node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
    /// All its bytes, if the masters keep them. Then no chunk has cells.
    pub contents: Option<KeptContents>,
    /// Blobs, live or awaiting collection, that have an extent in it.
    pub uses: u64,
    /// Raised by each re-pointing of a chunk.
    pub version: u64,
    /// The transaction that wrote it.
    pub transaction: TransactionId,
}

impl Segment {
    /// A segment whose bytes the masters keep, with nothing on nodes.
    #[must_use]
    pub fn kept(id: SegmentId, layout: wire::Layout, contents: KeptContents, transaction: TransactionId) -> Self {
        let chunks = (0..layout.data + layout.code).map(|_| Chunk::default()).collect();
        let length_bytes = contents.bytes().len() as u64;
        Self { id, layout, length_bytes, chunks, contents: Some(contents), uses: 0, version: 0, transaction }
    }
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
        let contents = KeptContents::from_wire(segment.contents, segment.contents_crc32c)?;
        if let Some(contents) = &contents {
            let has_chunks = chunks.iter().any(|chunk| chunk.cells > 0 || chunk.place.is_some());
            if has_chunks || contents.bytes().len() as u64 != segment.length_bytes {
                let why = "segment with bytes kept in its record that are not all of it, or on nodes too".to_owned();
                return Err(Refusal::InvalidRequest { why });
            }
        }
        Ok(Self {
            id: SegmentId::from_wire(&segment.id)?,
            layout,
            length_bytes: segment.length_bytes,
            chunks,
            contents,
            uses: segment.uses,
            version: segment.version,
            transaction: segment.transaction.ok_or_else(|| missing("transaction of a segment"))?.into(),
        })
    }
}

impl From<&Segment> for wire::Segment {
    fn from(segment: &Segment) -> Self {
        let (contents, contents_crc32c) = KeptContents::to_wire(segment.contents.as_ref());
        Self {
            id: segment.id.to_wire(),
            layout: Some(segment.layout),
            length_bytes: segment.length_bytes,
            chunks: segment.chunks.iter().map(wire::Chunk::from).collect(),
            uses: segment.uses,
            version: segment.version,
            transaction: Some(segment.transaction.into()),
            contents,
            contents_crc32c,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::{KEPT_CONTENTS_LIMIT_BYTES, KeptContents};
    use super::Segment;
    use crate::ids::SegmentId;
    use crate::{Refusal, wire};

    fn kept(bytes: &'static [u8]) -> wire::Segment {
        let layout = wire::Layout { data: 4, code: 2, cell_size_bytes: 4096, stripe_size_bytes: 1 << 20 };
        let contents = KeptContents::new(Bytes::from_static(bytes)).unwrap();
        let transaction = wire::TransactionId { session: 1, sequence: 1 }.into();
        wire::Segment::from(&Segment::kept(SegmentId::generate(), layout, contents, transaction))
    }

    #[test]
    fn a_segment_with_its_bytes_is_read_as_it_was_written() {
        let segment = Segment::try_from(kept(b"some bytes")).unwrap();
        assert_eq!(segment.contents.as_ref().unwrap().bytes(), &b"some bytes"[..]);
        assert_eq!((segment.length_bytes, segment.chunks.len()), (10, 6));
        assert_eq!(Segment::try_from(wire::Segment::from(&segment)), Ok(segment));
    }

    #[test]
    fn kept_bytes_that_were_changed_are_refused() {
        let changed = wire::Segment { contents: Bytes::from_static(b"same bytes"), ..kept(b"some bytes") };
        assert!(Segment::try_from(changed).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn kept_bytes_are_all_of_a_small_segment_and_nowhere_else() {
        let longer = wire::Segment { length_bytes: 11, ..kept(b"some bytes") };
        let mut placed = kept(b"some bytes");
        placed.chunks[0].cells = 1;
        placed.chunks[0].digest = vec![0; 32].into();
        let large = vec![1; KEPT_CONTENTS_LIMIT_BYTES + 1];
        let crc32c = crc32c::crc32c(&large);
        let large = wire::Segment {
            length_bytes: large.len() as u64,
            contents: large.into(),
            contents_crc32c: crc32c,
            ..kept(b"some bytes")
        };
        for refused in [longer, placed, large] {
            assert!(matches!(Segment::try_from(refused), Err(Refusal::InvalidRequest { .. })));
        }
    }
}
