use bytes::{Bytes, BytesMut};
use cairn_proto::records::Segment;

use super::{BlobStore, Contents, FsError, Target};
use crate::filesystem::blob_store::OpenSegment;
use crate::filesystem::row_map::{Place, RowMap};

/// The segment that takes what is written, until it is sealed.
impl<S: BlobStore> Contents<S> {
    /// Takes a segment that was opened beforehand, of [`Contents::fixed_layout`] if there is one.
    pub(in crate::filesystem) fn adopt(&mut self, segment: S::Segment) {
        if self.fixed_layout().is_none() {
            self.layout = segment.layout();
        }
        self.segment = Some(segment);
        self.next_open_row = 0;
        self.partial = None;
    }

    /// Whether a segment is open for what is written next.
    pub(in crate::filesystem) const fn has_segment(&self) -> bool {
        self.segment.is_some()
    }

    /// Gives up the open segment, none of whose rows is in use.
    pub(in crate::filesystem) async fn abort_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            segment.abort().await;
        }
        self.next_open_row = 0;
        self.partial = None;
    }

    /// Sends a row to the open segment and gives it its place there.
    pub(super) async fn send(&mut self, target: &Target, row: u64, bytes: Bytes) -> Result<(), FsError> {
        let open_row = match self.rows.place(row) {
            Some(Place::Open { row: open_row }) => open_row,
            Some(Place::Sealed { .. }) | None => self.allocate(),
        };
        let is_full = bytes.len() == self.row_size();
        if self.segment.is_none() {
            self.segment = Some(self.store.begin(&target.key, target.precondition, Some(self.layout)).await?);
        }
        let segment = self.segment.as_mut().expect("it was opened just above");
        segment.write_row(open_row, bytes).await?;
        if is_full && self.partial == Some(open_row) {
            self.partial = None;
        } else if !is_full && open_row >= self.next_open_row {
            self.partial = Some(open_row);
        }
        self.next_open_row = self.next_open_row.max(open_row + 1);
        self.rows.set(row, Place::Open { row: open_row });
        Ok(())
    }

    /// A row of the open segment for a row of the file that has none there: the part-filled one if the file does
    /// not use it any more, since only the last may stay part-filled.
    fn allocate(&self) -> u64 {
        self.partial.filter(|partial| !self.rows.uses_open_row(*partial)).unwrap_or(self.next_open_row)
    }

    pub(super) async fn seal(&mut self) -> Result<Option<Segment>, FsError> {
        if !self.rows.uses_open_segment() {
            self.abort_segment().await;
            return Ok(None);
        }
        self.fill_partial().await?;
        let segment = self.segment.take().ok_or(FsError::Unfinished)?;
        self.next_open_row = 0;
        self.partial = None;
        let sealed = segment.seal().await?;
        self.rows.seal(sealed.id);
        Ok(Some(sealed))
    }

    /// Fills the part-filled row of the open segment up with zeros if others were sent behind it. The extent stays
    /// as short as the file.
    async fn fill_partial(&mut self) -> Result<(), FsError> {
        let Some(open_row) = self.partial.filter(|row| row + 1 < self.next_open_row) else { return Ok(()) };
        let row_size = self.row_size();
        let last = self.rows.rows().saturating_sub(1);
        let length = match self.rows.place(last) {
            Some(Place::Open { row }) if row == open_row => self.layout.row_length(self.size_bytes, last),
            _ => 0,
        };
        let segment = self.segment.as_mut().ok_or(FsError::Unfinished)?;
        let mut bytes = BytesMut::zeroed(row_size);
        if length > 0 {
            bytes[..length].copy_from_slice(&segment.read_row(open_row, length).await?);
        }
        segment.write_row(open_row, bytes.freeze()).await?;
        self.partial = None;
        Ok(())
    }

    /// Copies all rows into one new segment, a row at a time.
    pub(super) async fn rewrite(&mut self, target: &Target) -> Result<(), FsError> {
        let mut segment = self.store.begin(&target.key, target.precondition, Some(self.layout)).await?;
        let count = self.rows.rows();
        let mut rows = RowMap::default();
        for row in 0..count {
            let length = self.layout.row_length(self.size_bytes, row);
            let bytes = self.row_piece(target, row, 0, length).await?;
            segment.write_row(row, bytes).await?;
            rows.set(row, Place::Open { row });
        }
        self.abort_segment().await;
        self.segment = Some(segment);
        self.next_open_row = count;
        self.rows = rows;
        Ok(())
    }
}
