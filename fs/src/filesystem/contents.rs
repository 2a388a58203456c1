//! The bytes of a file being written: which rows are sent, which one is in memory, and what a commit makes of them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_codec::{Digest, Layout, row_digest};
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Extent, Key, Segment};

use super::FsError;
use super::blob_store::{BlobStore, OpenBlob, OpenSegment};
use super::current_row::CurrentRow;
use super::row_budget::RowBudget;
use super::row_map::{Place, RowMap};
use crate::client::Precondition;

/// Extents that a blob may have; a commit that would pass them rewrites the file as one.
const EXTENT_LIMIT: usize = 64;
/// Largest hole that one write or truncation may leave: it is filled with zeros there and then.
pub(super) const HOLE_LIMIT_BYTES: u64 = 1 << 30;

/// What the next transaction is opened with.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) key: Key,
    pub(super) precondition: Precondition,
}

/// What a commit says about the bytes.
#[derive(Debug)]
pub(super) struct Frozen {
    pub(super) extents: Vec<Extent>,
    pub(super) sealed: Option<Segment>,
    pub(super) size_bytes: u64,
    pub(super) digest: Digest,
}

/// The bytes of a file being written. After an error it must not be used any further.
///
/// Invariants between calls: rows 0 to n are placed without a gap, and only the file's last row may be without a
/// place, being `current`; every row but the last is full; `digest` is the sum over all rows except `current`;
/// of the open segment's rows only `partial` is not full, and at the seal it is the last.
pub(super) struct Contents<S: BlobStore> {
    store: Arc<S>,
    budget: Arc<RowBudget>,
    layout: Layout,
    size_bytes: u64,
    rows: RowMap,
    current: Option<CurrentRow>,
    digest: Digest,
    segment: Option<S::Segment>,
    next_open_row: u64,
    partial: Option<u64>,
    /// Reads the rows that are sealed: the blob of the last commit.
    source: Option<Arc<S::Blob>>,
    /// The blob of the last commit.
    committed: Option<BlobId>,
}

impl<S: BlobStore> Contents<S> {
    /// An empty file, with a segment that was opened for it.
    pub(super) fn empty(store: Arc<S>, budget: Arc<RowBudget>, segment: S::Segment) -> Self {
        let layout = segment.layout();
        Self { segment: Some(segment), ..Self::without_segment(store, budget, layout) }
    }

    fn without_segment(store: Arc<S>, budget: Arc<RowBudget>, layout: Layout) -> Self {
        Self {
            store,
            budget,
            layout,
            size_bytes: 0,
            rows: RowMap::default(),
            current: None,
            digest: Digest::ZERO,
            segment: None,
            next_open_row: 0,
            partial: None,
            source: None,
            committed: None,
        }
    }

    /// The bytes of a committed blob. They can be read; [`Contents::adopt`] lets them be changed.
    pub(super) fn of_blob(store: Arc<S>, budget: Arc<RowBudget>, blob: Arc<S::Blob>) -> Self {
        Self {
            size_bytes: blob.entry().size_bytes,
            rows: RowMap::of_extents(&blob.extents()),
            digest: blob.digest(),
            committed: Some(blob.entry().blob),
            ..Self::without_segment(store, budget, blob.layout().unwrap_or_default())
        }
        .with_source(blob)
    }

    fn with_source(self, blob: Arc<S::Blob>) -> Self {
        Self { source: Some(blob), ..self }
    }

    pub(super) const fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Whether memory is held that could be given back.
    pub(super) const fn holds_memory(&self) -> bool {
        self.current.is_some()
    }

    /// Writes `data` at `offset`, with zeros in front where there was nothing.
    pub(super) async fn write(&mut self, target: &Target, offset: u64, mut data: Bytes) -> Result<(), FsError> {
        let end = offset.saturating_add(data.len() as u64);
        self.check_size(end)?;
        if offset > self.size_bytes {
            self.grow(target, offset).await?;
        }
        let mut at = offset;
        while !data.is_empty() {
            let (row, within) = self.split(at);
            let taken = data.len().min(self.row_size() - within);
            let piece = data.split_to(taken);
            if taken == self.row_size() {
                self.replace_row(target, row, piece).await?;
            } else {
                self.patch_row(target, row, within, &piece).await?;
            }
            at += taken as u64;
            self.size_bytes = self.size_bytes.max(at);
        }
        Ok(())
    }

    /// Whether a file may be so long, asked before anything changes.
    pub(super) fn check_size(&self, size_bytes: u64) -> Result<(), FsError> {
        let limit_bytes = self.layout.largest_length_bytes();
        if size_bytes > limit_bytes {
            return Err(FsError::TooLarge { what: "a file", length_bytes: size_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Whether a hole from the end up to `offset` may be left, asked before anything changes.
    pub(super) fn check_hole(&self, offset: u64) -> Result<(), FsError> {
        let length_bytes = offset.saturating_sub(self.size_bytes);
        if length_bytes > HOLE_LIMIT_BYTES {
            return Err(FsError::TooLarge { what: "a hole", length_bytes, limit_bytes: HOLE_LIMIT_BYTES });
        }
        Ok(())
    }

    /// Cuts the file off or fills it up with zeros.
    pub(super) async fn resize(&mut self, target: &Target, size_bytes: u64) -> Result<(), FsError> {
        self.check_size(size_bytes)?;
        if size_bytes == 0 {
            self.clear().await;
        } else if size_bytes > self.size_bytes {
            self.grow(target, size_bytes).await?;
        } else if size_bytes < self.size_bytes {
            self.shrink(target, size_bytes).await?;
        }
        Ok(())
    }

    /// Bytes `[offset, offset + length)`, cut off at the end of the file.
    pub(super) async fn read(&mut self, target: &Target, offset: u64, length: usize) -> Result<Bytes, FsError> {
        let end = offset.saturating_add(length as u64).min(self.size_bytes);
        let mut pieces = Vec::new();
        let mut at = offset;
        while at < end {
            let (row, within) = self.split(at);
            let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(self.row_size() - within);
            let stored = self.row_piece(target, row, within, wanted).await?;
            at += wanted as u64;
            pieces.push(stored);
        }
        Ok(joined(pieces))
    }

    /// Sends the row in memory away and gives its memory back.
    pub(super) async fn shed(&mut self, target: &Target) -> Result<(), FsError> {
        let Some(mut current) = self.current.take() else { return Ok(()) };
        self.digest.add(&row_digest(current.row(), current.bytes()));
        if current.is_dirty() {
            let bytes = current.send();
            // Counted as memory of the client from here on, which has a limit of its own.
            let row = current.row();
            drop(current);
            self.send(target, row, bytes).await?;
        }
        Ok(())
    }

    /// Forgets the row in memory of a file that has nothing uncommitted.
    pub(super) fn rest(&mut self) {
        if let Some(current) = self.current.take() {
            debug_assert!(!current.is_dirty(), "only committed files come to rest");
            self.digest.add(&row_digest(current.row(), current.bytes()));
        }
    }

    /// Makes all bytes durable. Takes no memory of the budget.
    pub(super) async fn freeze(&mut self, target: &Target) -> Result<Frozen, FsError> {
        if let Some(current) = self.current.as_mut().filter(|current| current.is_dirty()) {
            let (row, bytes) = (current.row(), current.send());
            self.send(target, row, bytes).await?;
        }
        if self.rows.extent_count() > EXTENT_LIMIT {
            self.rewrite(target).await?;
        }
        let sealed = self.seal().await?;
        let mut digest = self.digest;
        if let Some(current) = &self.current {
            digest.add(&row_digest(current.row(), current.bytes()));
        }
        let extents = self.rows.extents(self.size_bytes, self.row_size() as u64, None);
        Ok(Frozen { extents, sealed, size_bytes: self.size_bytes, digest })
    }

    /// What [`Contents::freeze`] made was committed as `blob`.
    pub(super) fn committed(&mut self, blob: BlobId) {
        self.committed = Some(blob);
        self.source = None;
    }

    /// Opens the blob of the last commit, so that its rows stay readable whatever happens to the key.
    pub(super) async fn hold_source(&mut self, target: &Target) -> Result<Option<Arc<S::Blob>>, FsError> {
        let Some(committed) = self.committed else { return Ok(None) };
        if self.source.is_none() {
            let blob = self.store.open(&target.key).await?;
            let blob = blob.filter(|blob| blob.entry().blob == committed);
            self.source = Some(Arc::new(blob.ok_or_else(|| replaced(&target.key))?));
        }
        Ok(self.source.clone())
    }

    /// Takes a segment that was opened beforehand, of [`Contents::fixed_layout`] if there is one.
    pub(super) fn adopt(&mut self, segment: S::Segment) {
        if self.fixed_layout().is_none() {
            self.layout = segment.layout();
        }
        self.segment = Some(segment);
        self.next_open_row = 0;
        self.partial = None;
    }

    /// Whether a segment is open for what is written next.
    pub(super) const fn has_segment(&self) -> bool {
        self.segment.is_some()
    }

    /// Layout of its rows, if it has any: a further segment must have the same.
    pub(super) fn fixed_layout(&self) -> Option<Layout> {
        (self.rows.rows() > 0 || self.current.is_some()).then_some(self.layout)
    }

    /// Gives up what was written since the last commit.
    pub(super) async fn abandon(&mut self) {
        self.current = None;
        self.source = None;
        self.abort_segment().await;
    }

    /// Gives up the open segment, none of whose rows is in use.
    pub(super) async fn abort_segment(&mut self) {
        if let Some(segment) = self.segment.take() {
            segment.abort().await;
        }
        self.next_open_row = 0;
        self.partial = None;
    }

    async fn clear(&mut self) {
        self.current = None;
        self.rows = RowMap::default();
        self.digest = Digest::ZERO;
        self.size_bytes = 0;
        if self.next_open_row > 0 {
            self.abort_segment().await;
        }
    }

    async fn grow(&mut self, target: &Target, size_bytes: u64) -> Result<(), FsError> {
        self.check_hole(size_bytes)?;
        let zeros = Bytes::from(vec![0; self.row_size()]);
        while self.size_bytes < size_bytes {
            let (row, within) = self.split(self.size_bytes);
            let row_end = ((row + 1) * self.row_size() as u64).min(size_bytes);
            let length = self.layout.row_length(row_end, row);
            if within == 0 && length == self.row_size() {
                self.replace_row(target, row, zeros.clone()).await?;
            } else {
                self.load(target, row, length).await?.resize(length);
                if length == self.row_size() {
                    self.shed(target).await?;
                }
            }
            self.size_bytes = row_end;
        }
        Ok(())
    }

    async fn shrink(&mut self, target: &Target, size_bytes: u64) -> Result<(), FsError> {
        let kept = self.layout.row_count(size_bytes);
        for row in kept..self.layout.row_count(self.size_bytes) {
            self.forget(target, row).await?;
        }
        self.rows.truncate(kept);
        // From here on `kept` rows exist, the last of them still as long as it was.
        self.size_bytes = self.size_bytes.min(kept * self.row_size() as u64);
        let length = self.layout.row_length(size_bytes, kept - 1);
        if size_bytes < self.size_bytes {
            self.load(target, kept - 1, length).await?.resize(length);
        }
        self.size_bytes = size_bytes;
        Ok(())
    }

    /// Takes a row that is to be dropped or replaced out of the digest.
    async fn forget(&mut self, target: &Target, row: u64) -> Result<(), FsError> {
        if self.current.as_ref().is_some_and(|current| current.row() == row) {
            self.current = None;
        } else if self.rows.place(row).is_some() {
            let length = self.layout.row_length(self.size_bytes, row);
            let old = self.row_piece(target, row, 0, length).await?;
            self.digest.remove(&row_digest(row, &old));
        }
        Ok(())
    }

    async fn replace_row(&mut self, target: &Target, row: u64, bytes: Bytes) -> Result<(), FsError> {
        self.forget(target, row).await?;
        // A row in memory in front of this one gets its place first, so that places have no gap.
        if self.current.as_ref().is_some_and(|current| current.row() < row) {
            self.shed(target).await?;
        }
        self.digest.add(&row_digest(row, &bytes));
        self.send(target, row, bytes).await
    }

    async fn patch_row(&mut self, target: &Target, row: u64, within: usize, piece: &[u8]) -> Result<(), FsError> {
        let end = within + piece.len();
        self.load(target, row, end).await?.write(within, piece);
        // A writer that goes on behind the row will not come back to it.
        if end == self.row_size() { self.shed(target).await } else { Ok(()) }
    }

    /// Brings `row` into memory with room for `length` bytes.
    async fn load(&mut self, target: &Target, row: u64, length: usize) -> Result<&mut CurrentRow, FsError> {
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
    async fn row_piece(&mut self, target: &Target, row: u64, within: usize, length: usize) -> Result<Bytes, FsError> {
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

    /// Sends a row to the open segment and gives it its place there.
    async fn send(&mut self, target: &Target, row: u64, bytes: Bytes) -> Result<(), FsError> {
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

    async fn seal(&mut self) -> Result<Option<Segment>, FsError> {
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
    async fn rewrite(&mut self, target: &Target) -> Result<(), FsError> {
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

    const fn row_size(&self) -> usize {
        self.layout.row_size_bytes()
    }

    /// The row that `offset` is in, and where in it.
    fn split(&self, offset: u64) -> (u64, usize) {
        let row_size = self.row_size() as u64;
        let within = usize::try_from(offset % row_size).expect("less than a row, which fits in memory");
        (offset / row_size, within)
    }

    /// Memory of `length` bytes of a row: whole cells.
    fn cells(&self, length: usize) -> usize {
        length.max(1).next_multiple_of(self.layout.cell_size_bytes()).min(self.row_size())
    }
}

fn replaced(key: &Key) -> FsError {
    FsError::Replaced { key: key.to_string() }
}

fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() <= 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut bytes = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in &pieces {
        bytes.extend_from_slice(piece);
    }
    bytes.freeze()
}
