use bytes::Bytes;
use cairn_codec::row_digest;

use super::{BlobStore, Contents, CurrentRow, FsError, Target};
use crate::filesystem::blob_store::{OpenBlob, OpenSegment};
use crate::filesystem::row_map::Place;

/// The rows of the file, one at a time: in memory, in the open segment, or in what was committed.
impl<S: BlobStore> Contents<S> {
    /// Takes a row that is to be dropped or replaced out of the digest.
    pub(super) async fn forget(&mut self, target: &Target, row: u64) -> Result<(), FsError> {
        if self.current.as_ref().is_some_and(|current| current.row() == row) {
            self.current = None;
        } else if self.rows.place(row).is_some() {
            let length = self.layout.row_length(self.size_bytes, row);
            let old = self.row_piece(target, row, 0, length).await?;
            self.digest.remove(&row_digest(row, &old));
        }
        Ok(())
    }

    pub(super) async fn replace_row(&mut self, target: &Target, row: u64, bytes: Bytes) -> Result<(), FsError> {
        self.forget(target, row).await?;
        // A row in memory in front of this one gets its place first, so that places have no gap.
        if self.current.as_ref().is_some_and(|current| current.row() < row) {
            self.shed(target).await?;
        }
        self.digest.add(&row_digest(row, &bytes));
        self.send(target, row, bytes).await
    }

    pub(super) async fn patch_row(
        &mut self,
        target: &Target,
        row: u64,
        within: usize,
        piece: &[u8],
    ) -> Result<(), FsError> {
        let end = within + piece.len();
        self.load(target, row, end).await?.write(within, piece);
        // A writer that goes on behind the row will not come back to it.
        if end == self.row_size() { self.shed(target).await } else { Ok(()) }
    }

    /// Brings `row` into memory with room for `length` bytes.
    pub(super) async fn load(&mut self, target: &Target, row: u64, length: usize) -> Result<&mut CurrentRow, FsError> {
        let stored_length = self.layout.row_length(self.size_bytes, row);
        let wanted = self.cells(length.max(stored_length));
        if !self.make_room(row, wanted) {
            self.shed(target).await?;
            let memory = self.budget.take(wanted).await;
            let stored = self.row_piece(target, row, 0, stored_length).await?;
            if !stored.is_empty() {
                self.digest.remove(&row_digest(row, &stored));
            }
            self.current = Some(CurrentRow::new(row, &stored, wanted, memory));
        }
        Ok(self.current.as_mut().expect("it was there with room, or was just brought in"))
    }

    /// Whether `row` is in memory and has, or gets without waiting, room for `wanted` bytes.
    fn make_room(&mut self, row: u64, wanted: usize) -> bool {
        let Some(current) = self.current.as_mut().filter(|current| current.row() == row) else { return false };
        let reserved = current.reserved_bytes();
        if wanted > reserved {
            let Some(more) = self.budget.try_take(wanted - reserved) else { return false };
            current.reserve(wanted, more);
        }
        true
    }

    /// Part of a row, wherever it is.
    pub(super) async fn row_piece(
        &mut self,
        target: &Target,
        row: u64,
        within: usize,
        length: usize,
    ) -> Result<Bytes, FsError> {
        if let Some(current) = self.current.as_ref().filter(|current| current.row() == row) {
            return Ok(Bytes::copy_from_slice(&current.bytes()[within..within + length]));
        }
        let piece = match self.rows.place(row) {
            None => Bytes::new(),
            Some(Place::Open { row: open_row }) => {
                let segment = self.segment.as_mut().ok_or(FsError::Unfinished)?;
                segment.read_row(open_row, within + length).await?.slice(within..)
            }
            Some(Place::Sealed { .. }) => {
                let source = self.hold_source(target).await?.ok_or(FsError::Unfinished)?;
                source.read(row * self.row_size() as u64 + within as u64, length).await?
            }
        };
        if piece.len() != length && self.rows.place(row).is_some() {
            return Err(FsError::Internal { why: format!("row {row}: {} bytes instead of {length}", piece.len()) });
        }
        Ok(piece)
    }
}
