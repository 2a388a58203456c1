use bytes::Bytes;
use cairn_codec::{Digest, Frame};
use cairn_proto::ids::{BootId, IncarnationId, SegmentId};
use cairn_proto::{Refusal, records, wire};

use crate::node::Node;
use crate::store::{Position, Tally, Target};

/// Cells that one message may bring: the smallest cells, as many as the largest message has room for.
const CELLS_PER_MESSAGE: usize = 4_096;

/// Ranges that one read may name, and rows that they may have together.
const RANGES_PER_READ: usize = 4_096;
const ROWS_PER_READ: u64 = 65_536;

/// Chunks of a segment: data and code together are at most 255.
const CHUNKS: u32 = 255;

/// Segments that one deletion may name.
const SEGMENTS_PER_DELETION: usize = 16_384;

pub(super) fn invalid(why: impl Into<String>) -> Refusal {
    Refusal::InvalidRequest { why: why.into() }
}

/// A write's target, with the lives of the node that its writer counts on.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriteTarget {
    pub(super) target: Target,
    incarnation: IncarnationId,
    boot: BootId,
}

impl TryFrom<Option<wire::ChunkTarget>> for WriteTarget {
    type Error = Refusal;

    fn try_from(target: Option<wire::ChunkTarget>) -> Result<Self, Refusal> {
        let target = target.ok_or_else(|| invalid("target is missing"))?;
        let transaction = target.transaction.ok_or_else(|| invalid("transaction of a target is missing"))?;
        Ok(Self {
            target: Target {
                segment: SegmentId::from_wire(&target.segment)?,
                transaction: transaction.into(),
                chunk_index: chunk_index(target.chunk_index)?,
            },
            incarnation: IncarnationId::from_wire(&target.incarnation)?,
            boot: BootId::from_wire(&target.boot)?,
        })
    }
}

impl WriteTarget {
    pub(super) fn require_incarnation(&self, node: &Node) -> Result<(), Refusal> {
        if self.incarnation == node.incarnation() {
            Ok(())
        } else {
            Err(Refusal::WrongIncarnation { current: node.incarnation().to_string() })
        }
    }

    /// Cells taken in under another boot are gone.
    pub(super) fn require_boot(&self, node: &Node) -> Result<(), Refusal> {
        let current = node.admission.boot();
        if self.boot == current { Ok(()) } else { Err(Refusal::WrongBoot { current: current.to_string() }) }
    }
}

pub(super) fn chunk_index(index: u32) -> Result<u8, Refusal> {
    match u8::try_from(index) {
        Ok(checked) if index < CHUNKS => Ok(checked),
        _ => Err(invalid(format!("chunk index {index} is over {}", CHUNKS - 1))),
    }
}

/// The cells of a message: whole, undamaged, and of this very chunk.
pub(super) fn frames(target: &Target, cells: Vec<Bytes>) -> Result<Vec<Frame>, Refusal> {
    if cells.len() > CELLS_PER_MESSAGE {
        return Err(invalid(format!("{} cells in a message, at most {CELLS_PER_MESSAGE}", cells.len())));
    }
    cells.into_iter().map(|cell| frame(target, cell)).collect()
}

fn frame(target: &Target, cell: Bytes) -> Result<Frame, Refusal> {
    let frame = Frame::parse(cell).map_err(|error| Refusal::DamagedCell { why: error.to_string() })?;
    let id = frame.id();
    if id.segment != *target.segment.as_bytes() || id.chunk != target.chunk_index {
        let why = format!("it is of chunk {} of another target than {}", id.chunk, target.segment);
        return Err(Refusal::DamagedCell { why });
    }
    Ok(frame)
}

/// What a seal expects; an empty chunk has nothing to seal.
pub(super) fn expected_tally(chunk: Option<wire::Chunk>) -> Result<Tally, Refusal> {
    let chunk = records::Chunk::try_from(chunk.ok_or_else(|| invalid("expected chunk is missing"))?)?;
    if chunk.cells == 0 {
        return Err(invalid("a chunk without cells cannot be sealed"));
    }
    Ok(Tally { cells: chunk.cells, length_bytes: chunk.length_bytes, digest: Digest::from_bytes(chunk.digest) })
}

/// Rows of one stripe that a read asks for; the last one is in range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowRange {
    stripe: u32,
    first_row: u32,
    rows: u32,
}

impl RowRange {
    pub(super) fn positions(self) -> impl Iterator<Item = Position> {
        (0..self.rows).map(move |row| Position { stripe: self.stripe, row: self.first_row + row })
    }
}

pub(super) fn row_ranges(ranges: &[wire::CellRange]) -> Result<Vec<RowRange>, Refusal> {
    if ranges.is_empty() || ranges.len() > RANGES_PER_READ {
        return Err(invalid(format!("{} ranges, 1 to {RANGES_PER_READ} are allowed", ranges.len())));
    }
    let rows: u64 = ranges.iter().map(|range| u64::from(range.rows)).sum();
    if rows > ROWS_PER_READ {
        return Err(invalid(format!("{rows} rows, at most {ROWS_PER_READ} are allowed")));
    }
    ranges.iter().map(row_range).collect()
}

fn row_range(range: &wire::CellRange) -> Result<RowRange, Refusal> {
    let &wire::CellRange { stripe, first_row, rows } = range;
    if rows == 0 || first_row.checked_add(rows).is_none() {
        return Err(invalid(format!("a range of {rows} rows from {first_row}")));
    }
    Ok(RowRange { stripe, first_row, rows })
}

pub(super) fn segments(segments: &[Bytes]) -> Result<Vec<SegmentId>, Refusal> {
    if segments.len() > SEGMENTS_PER_DELETION {
        return Err(invalid(format!("{} segments, at most {SEGMENTS_PER_DELETION}", segments.len())));
    }
    Ok(segments.iter().map(|segment| SegmentId::from_wire(segment)).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_codec::{CellId, Frame};
    use cairn_proto::ids::{SegmentId, SessionId, TransactionId};
    use cairn_proto::{Refusal, wire};

    use super::{ROWS_PER_READ, chunk_index, expected_tally, frames, row_ranges, segments};
    use crate::store::{Position, Target};

    fn range(first_row: u32, rows: u32) -> wire::CellRange {
        wire::CellRange { stripe: 3, first_row, rows }
    }

    #[test]
    fn a_range_names_its_rows_in_order() {
        let ranges = row_ranges(&[range(5, 2)]).unwrap();
        let rows: Vec<_> = ranges[0].positions().collect();
        assert_eq!(rows, [Position { stripe: 3, row: 5 }, Position { stripe: 3, row: 6 }]);
    }

    #[test]
    fn hostile_ranges_are_refused() {
        let too_many = u32::try_from(ROWS_PER_READ).unwrap();
        for ranges in [vec![], vec![range(0, 0)], vec![range(u32::MAX, 1)], vec![range(0, too_many), range(0, 1)]] {
            assert!(matches!(row_ranges(&ranges), Err(Refusal::InvalidRequest { .. })), "{ranges:?}");
        }
        assert!(row_ranges(&vec![range(0, 1); 5_000]).is_err());
    }

    #[test]
    fn a_cell_of_another_chunk_or_segment_is_refused() {
        let segment = SegmentId::generate();
        let transaction = TransactionId { session: SessionId(1), sequence: 1 };
        let target = Target { segment, transaction, chunk_index: 2 };
        let cell = |segment: SegmentId, chunk| {
            let id = CellId { segment: *segment.as_bytes(), stripe: 0, row: 0, chunk };
            Frame::from_payload(&id, b"payload").into_bytes()
        };
        assert_eq!(frames(&target, vec![cell(segment, 2)]).unwrap().len(), 1);
        assert!(matches!(frames(&target, vec![cell(segment, 3)]), Err(Refusal::DamagedCell { .. })));
        assert!(matches!(frames(&target, vec![cell(SegmentId::generate(), 2)]), Err(Refusal::DamagedCell { .. })));
        let mut damaged = cell(segment, 2).to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(matches!(frames(&target, vec![damaged.into()]), Err(Refusal::DamagedCell { .. })));
    }

    #[test]
    fn what_no_correct_peer_sends_is_refused() {
        assert!(chunk_index(255).is_err());
        assert_eq!(chunk_index(254), Ok(254));
        assert!(expected_tally(None).is_err());
        assert!(expected_tally(Some(wire::Chunk::default())).is_err());
        assert!(segments(&[Bytes::from_static(b"short")]).is_err());
    }
}
