use bytes::Bytes;
use cairn_codec::Frame;

use super::cells::Cells;
use super::error::StoreError;
use super::key::Position;
use super::placement::{Lookup, Placement};
use super::table_check::SuspectTable;

/// What is found of a cell.
#[derive(Debug, Clone)]
pub enum Inspected {
    /// It is right, and stays where it is.
    Sound(Frame),
    /// It is right, and lies in a table that must go.
    ToMove(Frame),
    /// It cannot be read, or is not there.
    Unreadable,
}

/// Looks at the cells of a sealed chunk one by one. Its calls block on the disk.
#[derive(Clone)]
pub struct Inspector {
    pub(super) cells: Cells,
    pub(super) placement: Placement,
    /// Logged cells lie in a generation that is being left.
    pub(super) moves_logged: bool,
    /// Tables that cannot be opened anew.
    pub(super) suspects: Vec<SuspectTable>,
}

impl Inspector {
    /// Reads a cell.
    pub fn inspect(&self, position: Position) -> Inspected {
        let bulk = |family| self.read(position, self.cells.bulk(family, position), self.is_suspect(position));
        let found = match self.placement.lookup(position) {
            Lookup::Logged => self.read(position, self.cells.logged(position), self.moves_logged),
            Lookup::Bulk(family) => bulk(family),
            Lookup::LoggedThenBulk(family) => match self.cells.logged(position) {
                Ok(None) => bulk(family),
                found => self.read(position, found, self.moves_logged),
            },
        };
        found.unwrap_or(Inspected::Unreadable)
    }

    /// The frame that some bytes are, checked.
    pub(super) fn parsed(&self, position: Position, bytes: Bytes) -> Result<Frame, StoreError> {
        self.cells.parsed(position, bytes)
    }

    fn read(
        &self,
        position: Position,
        stored: Result<Option<Bytes>, rocksdb::Error>,
        must_move: bool,
    ) -> Option<Inspected> {
        let frame = self.parsed(position, stored.ok()??).ok()?;
        Some(if must_move { Inspected::ToMove(frame) } else { Inspected::Sound(frame) })
    }

    fn is_suspect(&self, position: Position) -> bool {
        self.suspects.iter().any(|table| (table.first..=table.last).contains(&position))
    }
}
