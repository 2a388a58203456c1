//! The bytes of a file being written: which rows are sent, which one is in memory, and what a commit makes of them.

mod length;
mod open_segment;
mod rows;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_codec::{Digest, Layout, row_digest};
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Extent, Key, Segment};

use super::FsError;
use super::blob_store::{BlobStore, OpenBlob, OpenSegment};
use super::current_row::CurrentRow;
use super::row_budget::RowBudget;
use super::row_map::RowMap;
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
    /// Reads the rows that are sealed: the blob of the last commit, or that they are shared with.
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

    /// Opens the blob that has the sealed rows, so that they stay readable whatever happens to its key.
    pub(super) async fn hold_source(&mut self, target: &Target) -> Result<Option<Arc<S::Blob>>, FsError> {
        let (None, Some(committed)) = (&self.source, self.committed) else { return Ok(self.source.clone()) };
        let blob = self.store.open(&target.key).await?;
        let blob = blob.filter(|blob| blob.entry().blob == committed);
        self.source = Some(Arc::new(blob.ok_or_else(|| replaced(&target.key))?));
        Ok(self.source.clone())
    }

    /// Makes an empty file the same as `blob`, which shares its rows: no byte moves.
    pub(super) async fn share(&mut self, blob: Arc<S::Blob>) {
        self.clear().await;
        if let Some(layout) = blob.layout().filter(|layout| *layout != self.layout) {
            self.abort_segment().await;
            self.layout = layout;
        }
        self.rows = RowMap::of_extents(&blob.extents());
        self.size_bytes = blob.entry().size_bytes;
        self.digest = blob.digest();
        self.source = Some(blob);
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
