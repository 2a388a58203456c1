use cairn_codec::{CellId, Digest, Frame, cell_digest};

/// What a chunk holds in all. Kept up to date cell by cell, in constant space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Cells that exist.
    pub cells: u64,
    /// Payload bytes of those cells.
    pub length_bytes: u64,
    /// Sum of the cells' digests.
    pub digest: Digest,
}

/// All that the tally needs to know of a cell to take it out again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CellMark {
    id: CellId,
    length: u32,
    crc: u32,
}

impl CellMark {
    pub(crate) fn of(frame: &Frame) -> Self {
        let length = u32::try_from(frame.payload_len()).expect("a checked frame is far below 4 GiB");
        Self { id: frame.id(), length, crc: frame.crc() }
    }

    fn digest(&self) -> Digest {
        cell_digest(&self.id, self.length, self.crc)
    }
}

impl Tally {
    /// A chunk without cells.
    pub const EMPTY: Self = Self { cells: 0, length_bytes: 0, digest: Digest::ZERO };

    pub(crate) fn add(&mut self, cell: &CellMark) {
        self.cells += 1;
        self.length_bytes += u64::from(cell.length);
        self.digest.add(&cell.digest());
    }

    pub(crate) fn remove(&mut self, cell: &CellMark) {
        self.cells -= 1;
        self.length_bytes -= u64::from(cell.length);
        self.digest.remove(&cell.digest());
    }
}
