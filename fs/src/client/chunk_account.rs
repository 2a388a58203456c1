use cairn_codec::Digest;
use cairn_proto::records::{Chunk, ChunkPlace};

use super::row_encoder::CellMark;

/// What one chunk of a segment holds by now, in constant space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct ChunkAccount {
    pub(super) cells: u64,
    pub(super) length_bytes: u64,
    digest: Digest,
}

impl ChunkAccount {
    pub(super) fn add(&mut self, cell: &CellMark) {
        self.cells += 1;
        self.length_bytes += u64::from(cell.length);
        self.digest.add(&cell.digest());
    }

    /// Takes out a cell that is written again.
    pub(super) fn remove(&mut self, cell: &CellMark) {
        self.cells -= 1;
        self.length_bytes -= u64::from(cell.length);
        self.digest.remove(&cell.digest());
    }

    /// The record of the chunk at `place`. A chunk without cells is nowhere.
    pub(super) fn record(&self, place: Option<ChunkPlace>) -> Chunk {
        let place = place.filter(|_| self.cells > 0);
        Chunk { place, cells: self.cells, length_bytes: self.length_bytes, digest: *self.digest.as_bytes() }
    }
}
