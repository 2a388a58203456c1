//! Keys of the store. All are fixed-length and big endian, so that their order is the order of what they name.

use cairn_proto::ids::{SegmentId, SessionId};

const SEGMENT_BYTES: usize = 16;
const CELL_KEY_BYTES: usize = SEGMENT_BYTES + 4 + 4;

/// Key of a cell: segment, stripe, row. The chunk index is not in it, because a node keeps one chunk of a segment.
pub(crate) type CellKey = [u8; CELL_KEY_BYTES];

/// Where a cell lies in its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Stripe of the segment.
    pub stripe: u32,
    /// Row in the stripe.
    pub row: u32,
}

impl Position {
    /// Key of the cell of `segment` that lies here.
    pub(crate) fn key(self, segment: SegmentId) -> CellKey {
        let mut key = [0; CELL_KEY_BYTES];
        key[..SEGMENT_BYTES].copy_from_slice(segment.as_bytes());
        key[SEGMENT_BYTES..SEGMENT_BYTES + 4].copy_from_slice(&self.stripe.to_be_bytes());
        key[SEGMENT_BYTES + 4..].copy_from_slice(&self.row.to_be_bytes());
        key
    }
}

/// First key that a cell of `segment` can have.
pub(crate) fn first_cell(segment: SegmentId) -> CellKey {
    Position { stripe: 0, row: 0 }.key(segment)
}

/// Last key that a cell of `segment` can have.
pub(crate) fn last_cell(segment: SegmentId) -> CellKey {
    Position { stripe: u32::MAX, row: u32::MAX }.key(segment)
}

/// The first key past every cell of `segment`.
pub(crate) fn end_of_cells(segment: SegmentId) -> Vec<u8> {
    let mut end = last_cell(segment).to_vec();
    end.push(0);
    end
}

/// The segment that a cell key starts with.
pub(crate) fn segment_of(key: &[u8]) -> Option<SegmentId> {
    key.get(..SEGMENT_BYTES).and_then(|bytes| SegmentId::from_wire(bytes).ok())
}

/// Where the cell of this key lies in its chunk.
pub(crate) fn position_of(key: &[u8]) -> Option<Position> {
    let (stripe, row) = key.get(SEGMENT_BYTES..CELL_KEY_BYTES)?.split_at(4);
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
    Some(Position { stripe: number(stripe)?, row: number(row)? })
}

/// Keys of the `chunks` family, told apart by their first byte.
pub(crate) mod chunks {
    use super::{SEGMENT_BYTES, SegmentId, SessionId, segment_of};

    const RECORD: u8 = b'c';
    const OPEN: u8 = b'o';
    const SESSION: u8 = b's';
    const SESSION_BYTES: usize = 8;

    /// Key of a sealed chunk's record.
    pub(crate) fn record(segment: SegmentId) -> Vec<u8> {
        [&[RECORD], segment.as_bytes().as_slice()].concat()
    }

    /// Key of the note that a segment has cells and no record yet.
    pub(crate) fn open(segment: SegmentId) -> Vec<u8> {
        [&[OPEN], segment.as_bytes().as_slice()].concat()
    }

    /// Key of the entry by which a session's sealed segments are listed.
    pub(crate) fn of_session(session: SessionId, segment: SegmentId) -> Vec<u8> {
        [&[SESSION], session.0.to_be_bytes().as_slice(), segment.as_bytes()].concat()
    }

    /// What every record key starts with.
    pub(crate) fn record_prefix() -> Vec<u8> {
        vec![RECORD]
    }

    /// What every note of an open segment starts with.
    pub(crate) fn open_prefix() -> Vec<u8> {
        vec![OPEN]
    }

    /// What every entry of `session` starts with.
    pub(crate) fn session_prefix(session: SessionId) -> Vec<u8> {
        [&[SESSION], session.0.to_be_bytes().as_slice()].concat()
    }

    /// The segment that a key of this family ends with.
    pub(crate) fn segment(key: &[u8]) -> Option<SegmentId> {
        let known = match key.first()? {
            &RECORD | &OPEN => key.len() == 1 + SEGMENT_BYTES,
            &SESSION => key.len() == 1 + SESSION_BYTES + SEGMENT_BYTES,
            _ => false,
        };
        if known { segment_of(&key[key.len() - SEGMENT_BYTES..]) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{SegmentId, SessionId};

    use super::{Position, chunks, end_of_cells, first_cell, last_cell, position_of, segment_of};

    #[test]
    fn keys_sort_as_segment_then_stripe_then_row() {
        let (earlier, later) = (SegmentId::from_bytes([1; 16]), SegmentId::from_bytes([2; 16]));
        let at = |stripe, row| Position { stripe, row };
        let keys = [
            at(0, 0).key(earlier),
            at(0, 255).key(earlier),
            at(0, 256).key(earlier),
            at(1, 0).key(earlier),
            last_cell(earlier),
            first_cell(later),
        ];
        assert!(keys.is_sorted());
        assert!(end_of_cells(earlier).as_slice() > last_cell(earlier).as_slice());
        assert!(end_of_cells(earlier).as_slice() < first_cell(later).as_slice());
        assert_eq!((segment_of(&keys[2]), position_of(&keys[2])), (Some(earlier), Some(at(0, 256))));
        assert_eq!(position_of(&keys[2][..23]), None);
    }

    #[test]
    fn every_chunk_key_names_its_segment() {
        let id = SegmentId::generate();
        for key in [chunks::record(id), chunks::open(id), chunks::of_session(SessionId(7), id)] {
            assert_eq!(chunks::segment(&key), Some(id));
            assert_eq!(chunks::segment(&key[..key.len() - 1]), None);
        }
    }
}
