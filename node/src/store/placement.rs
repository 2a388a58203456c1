use super::key::{CellKey, Position};

/// Payload bytes of a chunk that go through the write-ahead log before its rows are worth tables of their own.
pub const BULK_FROM_BYTES: u64 = 8 << 20;

/// Where the cells of one chunk lie: in the logged family, in tables of one bulk family, or in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Placement {
    /// Cells in the logged family, and their payload bytes.
    pub(crate) logged_cells: u64,
    pub(crate) logged_bytes: u64,
    /// The generation of the logged family that they lie in.
    pub(crate) generation: u32,
    /// Where rows went from `BULK_FROM_BYTES` on.
    pub(crate) bulk: Option<BulkPlace>,
    /// Whether a row at or past the first bulk one also went to the logged family, and wins there.
    pub(crate) shadowed: bool,
}

/// The bulk part of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BulkPlace {
    /// Number of the family; a chunk stays in one.
    pub(crate) family: u32,
    /// Its lowest row there.
    pub(crate) first: Position,
}

/// Which families may hold a row; the first that has it wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    Logged,
    Bulk(u32),
    LoggedThenBulk(u32),
}

/// What a stored cell takes beside its payload: header, key, and what a table adds to each entry.
const CELL_OVERHEAD_BYTES: u64 = (cairn_codec::FRAME_HEADER_BYTES + size_of::<CellKey>() + 60) as u64;

impl Placement {
    /// What its logged cells take in tables, about.
    pub(crate) fn logged_stored_bytes(&self) -> u64 {
        self.logged_bytes + self.logged_cells * CELL_OVERHEAD_BYTES
    }

    /// Whether a row that rises above all rows before it should go into a table.
    pub(crate) fn wants_bulk(&self, length_bytes: u64, bulk_from_bytes: u64) -> bool {
        self.bulk.is_some() || length_bytes >= bulk_from_bytes
    }

    /// Counts a row that goes to the logged family.
    pub(crate) fn count_logged(&mut self, position: Position, payload_bytes: u64) {
        self.logged_cells += 1;
        self.logged_bytes += payload_bytes;
        self.shadowed |= self.bulk.is_some_and(|bulk| position >= bulk.first);
    }

    pub(crate) fn lookup(&self, position: Position) -> Lookup {
        match self.bulk {
            Some(bulk) if position >= bulk.first && self.shadowed => Lookup::LoggedThenBulk(bulk.family),
            Some(bulk) if position >= bulk.first => Lookup::Bulk(bulk.family),
            _ => Lookup::Logged,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BULK_FROM_BYTES, BulkPlace, Lookup, Placement};
    use crate::store::key::Position;

    const FIRST: Position = Position { stripe: 1, row: 4 };
    const BEFORE: Position = Position { stripe: 1, row: 3 };

    #[test]
    fn a_chunk_turns_to_tables_at_the_threshold_and_stays_there() {
        let mut placement = Placement::default();
        assert!(!placement.wants_bulk(BULK_FROM_BYTES - 1, BULK_FROM_BYTES));
        assert!(placement.wants_bulk(BULK_FROM_BYTES, BULK_FROM_BYTES));
        placement.bulk = Some(BulkPlace { family: 0, first: FIRST });
        assert!(placement.wants_bulk(0, BULK_FROM_BYTES));
    }

    #[test]
    fn a_row_written_again_past_the_first_table_row_shadows_the_tables() {
        let mut placement = Placement { bulk: Some(BulkPlace { family: 2, first: FIRST }), ..Placement::default() };
        placement.count_logged(BEFORE, 10);
        assert_eq!((placement.lookup(BEFORE), placement.lookup(FIRST)), (Lookup::Logged, Lookup::Bulk(2)));
        placement.count_logged(FIRST, 10);
        assert_eq!((placement.lookup(BEFORE), placement.lookup(FIRST)), (Lookup::Logged, Lookup::LoggedThenBulk(2)));
    }
}
