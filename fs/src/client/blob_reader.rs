use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{Digest, Layout, Piece, row_digest};
use cairn_proto::records::KeptContents;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::blob_view::BlobView;
use super::cell_fetch::{CellFetch, Wanted};
use super::cell_slot::CellSlot;
use super::connection::Connection;
use super::read_ahead::ReadAhead;
use super::{ClientError, FoundBlob};
use crate::cache::{Admission, CellKey};

/// Reads one blob for one handle, concurrently if wanted. Finds missing cells by decoding.
#[derive(Debug)]
pub struct BlobReader {
    connection: Arc<Connection>,
    view: Arc<BlobView>,
    ahead: Mutex<ReadAhead>,
    /// Cells read ahead, by row and chunk, until the reader has passed them.
    held: Mutex<BTreeMap<(u64, usize), HeldCell>>,
}

#[derive(Debug)]
struct HeldCell {
    cell: CellSource,
    _memory: Option<OwnedSemaphorePermit>,
}

/// Where the payload of a cell comes from.
#[derive(Debug, Clone)]
enum CellSource {
    Here(Bytes),
    Slot(Arc<CellSlot>),
}

/// For whom cells are fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Waiting { sequential: bool, deadline: Instant },
    Ahead,
}

impl BlobReader {
    pub(super) fn new(connection: Arc<Connection>, found: Arc<FoundBlob>) -> Self {
        let ahead = Mutex::new(ReadAhead::new(found.blob().size_bytes));
        Self { connection, view: Arc::new(BlobView::new(found)), ahead, held: Mutex::default() }
    }

    /// Length of the blob.
    pub fn size_bytes(&self) -> u64 {
        self.view.current().blob().size_bytes
    }

    /// The bytes of `[offset, offset + length)`, cut off at the end of the blob.
    pub async fn read(&self, offset: u64, length: usize) -> Result<Bytes, ClientError> {
        let found = self.view.current();
        let size = found.blob().size_bytes;
        let range = offset..offset.saturating_add(length as u64).min(size);
        let Some(layout) = found.layout().copied().filter(|_| range.start < range.end) else { return Ok(Bytes::new()) };
        let deadline = self.connection.deadline();
        let plan = self.ahead.lock().on_read(&range);
        let bytes = usize::try_from(range.end - range.start).unwrap_or(length);
        let _memory = self.connection.read_budget.take(bytes).await;
        let pieces: Vec<Piece> = layout.pieces(size, range).collect();
        let purpose = Purpose::Waiting { sequential: plan.sequential, deadline };
        let (sources, fetch) = self.claim(&found, &layout, pieces.iter().map(cell_of), purpose);
        if plan.sequential {
            self.hold(pieces.iter().map(cell_of).zip(sources.iter().cloned()));
        }
        self.forget(&layout, plan.keep_from);
        if let Some(ahead) = plan.ahead {
            self.fetch_ahead(&found, &layout, ahead);
        }
        // Here and not in a task of its own: nobody has to be woken for what this reader alone waits for.
        run(fetch).await;
        self.gather(&found, &layout, &pieces, sources, deadline).await
    }

    /// The whole blob row by row, with the blob's digest checked after the last.
    pub fn verified_rows(&self) -> VerifiedRows<'_> {
        VerifiedRows { reader: self, next_row: 0, digest: Digest::ZERO }
    }

    /// Starts fetching a range, as far as the memory for it goes.
    fn fetch_ahead(&self, found: &FoundBlob, layout: &Layout, range: Range<u64>) {
        let bytes = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let Some(mut memory) = self.connection.read_ahead_budget.try_take(bytes) else {
            return self.ahead.lock().put_off(range.start);
        };
        let cells: Vec<_> = layout.pieces(found.blob().size_bytes, range).map(|piece| cell_of(&piece)).collect();
        let (sources, fetch) = self.claim(found, layout, cells.iter().copied(), Purpose::Ahead);
        tokio::spawn(run(fetch));
        let mut held = self.held.lock();
        for (cell, source) in cells.into_iter().zip(sources) {
            let share = memory.split(memory.num_permits().min(layout.cell_size_bytes()));
            held.entry(cell).or_insert(HeldCell { cell: source, _memory: share });
        }
    }

    /// Finds each cell: held, cached, being fetched for somebody, or to be fetched, with the duty to do so.
    fn claim(
        &self,
        found: &FoundBlob,
        layout: &Layout,
        cells: impl Iterator<Item = (u64, usize)>,
        purpose: Purpose,
    ) -> (Vec<CellSource>, Option<CellFetch>) {
        let mut wanted = Wanted::new();
        let sources = cells.map(|cell| self.source(found, layout, cell, &mut wanted)).collect();
        if wanted.is_empty() {
            return (sources, None);
        }
        let (deadline, admission) = match purpose {
            Purpose::Waiting { sequential: false, deadline } => (Some(deadline), Admission::Warm),
            Purpose::Waiting { sequential: true, deadline } => (Some(deadline), Admission::Streaming),
            Purpose::Ahead => (None, Admission::Streaming),
        };
        let (connection, view) = (Arc::clone(&self.connection), Arc::clone(&self.view));
        (sources, Some(CellFetch::new(connection, view, *layout, wanted, deadline, admission)))
    }

    fn source(&self, found: &FoundBlob, layout: &Layout, cell: (u64, usize), wanted: &mut Wanted) -> CellSource {
        let held = self.held.lock().get(&cell).map(|held| held.cell.clone());
        if let Some(source) = held.filter(|source| !source.is_broken()) {
            return source;
        }
        let (row, chunk) = cell;
        let place = found.place(layout, row);
        if let Some(contents) = &found.segments()[place.segment].contents {
            return CellSource::Here(kept_cell(contents, layout, place.row, chunk));
        }
        let chunk = u8::try_from(chunk).expect("a layout has at most 255 chunks");
        let key = CellKey { segment: found.segments()[place.segment].id, row: place.row, chunk };
        if let Some(payload) = self.connection.cache.get(&key) {
            return CellSource::Here(payload);
        }
        let (slot, filler) = self.connection.slots.join(key);
        wanted.entry(row).or_default().extend(filler);
        if wanted.get(&row).is_some_and(Vec::is_empty) {
            wanted.remove(&row);
        }
        CellSource::Slot(slot)
    }

    /// Waits for the cells and puts the answer together. A cell that somebody else failed to fetch is fetched again.
    async fn gather(
        &self,
        found: &FoundBlob,
        layout: &Layout,
        pieces: &[Piece],
        sources: Vec<CellSource>,
        deadline: Instant,
    ) -> Result<Bytes, ClientError> {
        let mut payloads = Vec::with_capacity(pieces.len());
        // The last first: cells come in order, so that one wait is mostly enough.
        for (piece, source) in pieces.iter().zip(sources).rev() {
            let payload = match source.payload().await {
                Some(Ok(payload)) => payload,
                Some(Err(error)) if Instant::now() >= deadline => return Err(error),
                Some(Err(_)) | None => self.fetch_again(found, layout, cell_of(piece), deadline).await?,
            };
            payloads.push(payload.slice(piece.within.clone()));
        }
        payloads.reverse();
        if payloads.len() == 1 {
            return Ok(payloads.swap_remove(0));
        }
        let mut bytes = Vec::with_capacity(payloads.iter().map(Bytes::len).sum());
        for payload in &payloads {
            bytes.extend_from_slice(payload);
        }
        Ok(bytes.into())
    }

    async fn fetch_again(
        &self,
        found: &FoundBlob,
        layout: &Layout,
        cell: (u64, usize),
        deadline: Instant,
    ) -> Result<Bytes, ClientError> {
        loop {
            self.held.lock().remove(&cell);
            let purpose = Purpose::Waiting { sequential: false, deadline };
            let (sources, fetch) = self.claim(found, layout, std::iter::once(cell), purpose);
            run(fetch).await;
            for source in sources {
                match source.payload().await {
                    Some(outcome) => return outcome,
                    None if Instant::now() >= deadline => {
                        let why = "fetching a cell broke off again and again".to_owned();
                        return Err(ClientError::protocol("this client", why));
                    }
                    None => {}
                }
            }
        }
    }

    fn hold(&self, cells: impl Iterator<Item = ((u64, usize), CellSource)>) {
        let mut held = self.held.lock();
        for (cell, source) in cells {
            held.entry(cell).or_insert(HeldCell { cell: source, _memory: None });
        }
    }

    fn forget(&self, layout: &Layout, keep_from: u64) {
        let row_size = layout.row_size_bytes() as u64;
        let chunk = usize::try_from(keep_from % row_size).unwrap_or(0) / layout.cell_size_bytes();
        let mut held = self.held.lock();
        let kept = held.split_off(&(keep_from / row_size, chunk));
        let passed = std::mem::replace(&mut *held, kept);
        drop(held);
        drop(passed);
    }
}

impl CellSource {
    async fn payload(&self) -> Option<Result<Bytes, ClientError>> {
        match self {
            Self::Here(payload) => Some(Ok(payload.clone())),
            Self::Slot(slot) => slot.wait().await,
        }
    }

    fn is_broken(&self) -> bool {
        matches!(self, Self::Slot(slot) if slot.is_broken())
    }
}

async fn run(fetch: Option<CellFetch>) {
    if let Some(fetch) = fetch {
        fetch.run().await;
    }
}

/// A data cell of a segment that the masters keep; the row is one that the segment has.
fn kept_cell(contents: &KeptContents, layout: &Layout, row: u64, chunk: usize) -> Bytes {
    let length = contents.bytes().len();
    let row_start = usize::try_from(row).unwrap_or(length).saturating_mul(layout.row_size_bytes());
    let start = row_start.saturating_add(chunk * layout.cell_size_bytes()).min(length);
    contents.bytes().slice(start..length.min(start + layout.cell_size_bytes()))
}

fn cell_of(piece: &Piece) -> (u64, usize) {
    (piece.row, piece.chunk)
}

/// A full sequential read that ends with a check of the blob's digest.
#[derive(Debug)]
pub struct VerifiedRows<'a> {
    reader: &'a BlobReader,
    next_row: u64,
    digest: Digest,
}

impl VerifiedRows<'_> {
    /// The next row; `None` after the last, once the digest was found right.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ClientError> {
        let found = self.reader.view.current();
        let blob = found.blob();
        let row_size = found.layout().map_or(0, Layout::row_size_bytes);
        let offset = self.next_row * row_size as u64;
        if offset < blob.size_bytes {
            let row = self.reader.read(offset, row_size).await?;
            self.digest.add(&row_digest(self.next_row, &row));
            self.next_row += 1;
            return Ok(Some(row));
        }
        if *self.digest.as_bytes() == blob.digest {
            return Ok(None);
        }
        let recorded = Digest::from_bytes(blob.digest);
        let why = format!("its rows have digest {}, and {recorded} is recorded", self.digest);
        Err(ClientError::Corrupt { blob: blob.id, why })
    }
}
