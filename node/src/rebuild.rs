//! Makes a chunk of a sealed segment: from the others when its own node is gone, from itself when it is to be moved.

mod mend;
mod pace;
mod peers;
mod source;

use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{CellId, Coder, Digest, Frame, Layout};
use cairn_proto::ids::SegmentId;
use cairn_proto::records;
use futures_util::future::{join, join_all};
use futures_util::{StreamExt, stream};
use tokio::sync::watch;

pub(crate) use pace::Pace;
pub(crate) use peers::Peers;
pub(crate) use source::Source;

use crate::background::Background;
use crate::store::{StoreError, Tally, Target, rebuilder};
use crate::stores::Stores;
use source::ReadFailure;

/// What is read of other chunks at once: two such pieces are being read, while what the one before them made is stored.
const PIECE_BYTES: usize = 4 << 20;
const PIECES_AT_ONCE: usize = 2;

/// What is to be made, of what.
pub(crate) struct Rebuild {
    pub(crate) segment: SegmentId,
    pub(crate) layout: Layout,
    /// User bytes in the segment.
    pub(crate) length_bytes: u64,
    /// Its chunks, as many as the layout has.
    pub(crate) chunks: Vec<records::Chunk>,
    /// The one to make.
    pub(crate) chunk_index: u8,
    /// Where it is now, if it can be read and is to be moved.
    pub(crate) original: Option<Source>,
    /// Where others are, in the order in which they are to be read from.
    pub(crate) sources: Vec<Source>,
    /// How much may be read in a second; 0 for as much as goes.
    pub(crate) bytes_per_second: u64,
    /// Log index of the state that ordered it.
    pub(crate) ordered_at: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RebuildProgress {
    pub(crate) cells: u64,
    pub(crate) read_bytes: u64,
}

/// Why a chunk was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebuildError {
    #[error("too few of the other chunks can be read ({failures})")]
    TooFewSources { failures: String },
    #[error("nobody waits for it any more")]
    Abandoned,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Rows that are read together: full ones, or the last.
struct Piece {
    rows: Vec<u64>,
    row_length: usize,
}

impl Rebuild {
    /// Makes the chunk and seals it. On return it is on stable storage and exactly what the record says; after an error
    /// nothing of it is left. Ends early once `progress` has no receiver.
    pub(crate) async fn run(
        self,
        stores: Arc<Stores>,
        background: &Background,
        progress: watch::Sender<RebuildProgress>,
    ) -> Result<Tally, RebuildError> {
        let (target, expected) = (self.target(), self.expected());
        if let Some(tally) = stores.sealed(&target, &expected)? {
            return Ok(tally);
        }
        stores.readmit(self.segment);
        let made = self.make(&stores, background, &target, &expected, &progress).await;
        if made.is_err() {
            stores.drop_unsealed(&target).await?;
        }
        made
    }

    async fn make(
        &self,
        stores: &Stores,
        background: &Background,
        target: &Target,
        expected: &Tally,
        progress: &watch::Sender<RebuildProgress>,
    ) -> Result<Tally, RebuildError> {
        let coder = Coder::new(self.layout);
        let pace = Pace::start(self.bytes_per_second);
        let mut done = RebuildProgress::default();
        let pieces = stream::iter(self.pieces()).map(|piece| self.read(&coder, piece));
        let mut pieces = std::pin::pin!(pieces.buffered(PIECES_AT_ONCE));
        let mut next = pieces.next().await;
        while let Some(piece) = next {
            let (frames, read_bytes) = piece?;
            let (cells, made_bytes) = (frames.len() as u64, bytes_of(&frames));
            let (outcome, following) = join(stores.put(target, frames, || Ok(())), pieces.next()).await;
            outcome?;
            next = following;
            done = RebuildProgress { cells: done.cells + cells, read_bytes: done.read_bytes + read_bytes };
            if progress.send(done).is_err() {
                return Err(RebuildError::Abandoned);
            }
            join(pace.wait(done.read_bytes), background.spend(made_bytes)).await;
        }
        Ok(stores.seal(target, Vec::new(), expected, || Ok(())).await?)
    }

    fn target(&self) -> Target {
        Target { segment: self.segment, transaction: rebuilder(self.ordered_at), chunk_index: self.chunk_index }
    }

    fn expected(&self) -> Tally {
        let chunk = &self.chunks[usize::from(self.chunk_index)];
        Tally { cells: chunk.cells, length_bytes: chunk.length_bytes, digest: Digest::from_bytes(chunk.digest) }
    }

    /// The rows of which the chunk has a cell. A last row that is not full is a piece of its own, as fewer chunks may
    /// have a cell of it.
    fn pieces(&self) -> Vec<Piece> {
        let rows = self.layout.row_count(self.length_bytes);
        let full_rows = self.length_bytes / self.layout.row_size_bytes() as u64;
        let rows_at_once = (PIECE_BYTES / self.layout.row_size_bytes()).max(1);
        let full: Vec<u64> = (0..full_rows).collect();
        let full = full.chunks(rows_at_once).map(|rows| (rows.to_vec(), self.layout.row_size_bytes()));
        let last = (full_rows..rows).map(|row| (vec![row], self.layout.row_length(self.length_bytes, row)));
        let has_cell = |row_length: usize| self.layout.cell_length(row_length, usize::from(self.chunk_index)) > 0;
        full.chain(last)
            .filter(|(_, row_length)| has_cell(*row_length))
            .map(|(rows, row_length)| Piece { rows, row_length })
            .collect()
    }

    /// The chunk's cells of some rows, and how much was read for them.
    async fn read(&self, coder: &Coder, piece: Piece) -> Result<(Vec<Frame>, u64), RebuildError> {
        if let Some(copied) = self.copy(&piece).await {
            return Ok(copied);
        }
        loop {
            let chosen = self.choose(piece.row_length, &[])?;
            let reads = join_all(chosen.iter().map(|source| source.read(self, &piece.rows, piece.row_length))).await;
            let cells: Result<Vec<Vec<Bytes>>, ReadFailure> = reads.into_iter().collect();
            match cells {
                Ok(cells) => return Ok(self.frames(coder, &piece, &chosen, &cells)),
                // It is left out of the next attempt.
                Err(ReadFailure::Source(_)) => {}
                Err(ReadFailure::Cell(_)) => return self.read_row_by_row(coder, &piece).await,
            }
        }
    }

    /// A cell is damaged where it is: in its row, and in no other, one of another chunk takes its place.
    async fn read_row_by_row(&self, coder: &Coder, piece: &Piece) -> Result<(Vec<Frame>, u64), RebuildError> {
        let (mut frames, mut read_bytes) = (Vec::with_capacity(piece.rows.len()), 0);
        for row in &piece.rows {
            let (made, read) = self.read_row(coder, *row, piece.row_length).await?;
            frames.extend(made);
            read_bytes += read;
        }
        Ok((frames, read_bytes))
    }

    async fn read_row(&self, coder: &Coder, row: u64, row_length: usize) -> Result<(Vec<Frame>, u64), RebuildError> {
        let piece = Piece { rows: vec![row], row_length };
        let mut damaged: Vec<usize> = Vec::new();
        loop {
            let chosen = self.choose(row_length, &damaged)?;
            let reads = join_all(chosen.iter().map(|source| source.read(self, &piece.rows, row_length))).await;
            let is_damaged = |read: &Result<Vec<Bytes>, ReadFailure>| matches!(read, Err(ReadFailure::Cell(_)));
            let pairs = chosen.iter().zip(&reads);
            damaged.extend(pairs.filter(|(_, read)| is_damaged(read)).map(|(source, _)| source.chunk()));
            let cells: Result<Vec<Vec<Bytes>>, ReadFailure> = reads.into_iter().collect();
            if let Ok(cells) = cells {
                return Ok(self.frames(coder, &piece, &chosen, &cells));
            }
        }
    }

    /// The chunk's cells of some rows from where it is now. `None`: they are to be made from others.
    async fn copy(&self, piece: &Piece) -> Option<(Vec<Frame>, u64)> {
        let original = self.original.as_ref().filter(|original| original.failure().is_none())?;
        let cells = original.read(self, &piece.rows, piece.row_length).await.ok()?;
        let read_bytes = cells.iter().map(|cell| cell.len() as u64).sum();
        let frame = |(row, cell): (&u64, &Bytes)| Frame::from_payload(&self.cell_id(*row, self.chunk_index), cell);
        Some((piece.rows.iter().zip(&cells).map(frame).collect(), read_bytes))
    }

    /// As many sources as a row needs.
    fn choose(&self, row_length: usize, without: &[usize]) -> Result<Vec<&Source>, RebuildError> {
        let needed = self.layout.data_cells(row_length);
        let has_cell = |source: &&Source| self.layout.cell_length(row_length, source.chunk()) > 0;
        let usable = self.sources.iter().filter(has_cell).filter(|source| source.failure().is_none());
        let chosen: Vec<&Source> = usable.filter(|source| !without.contains(&source.chunk())).take(needed).collect();
        if chosen.len() < needed { Err(self.too_few()) } else { Ok(chosen) }
    }

    fn frames(&self, coder: &Coder, piece: &Piece, chosen: &[&Source], cells: &[Vec<Bytes>]) -> (Vec<Frame>, u64) {
        let read_bytes = cells.iter().flatten().map(|cell| cell.len() as u64).sum();
        let frame = |(number, row): (usize, &u64)| {
            let have: Vec<(usize, &[u8])> =
                chosen.iter().zip(cells).map(|(source, cells)| (source.chunk(), cells[number].as_ref())).collect();
            let wanted = [usize::from(self.chunk_index)];
            let made = coder.reconstruct(piece.row_length, &have, &wanted).expect("as many cells as are needed");
            Frame::from_payload(&self.cell_id(*row, self.chunk_index), &made[0])
        };
        (piece.rows.iter().enumerate().map(frame).collect(), read_bytes)
    }

    fn cell_id(&self, row: u64, chunk: u8) -> CellId {
        let position = self.layout.position(row);
        CellId { segment: *self.segment.as_bytes(), stripe: position.stripe, row: position.row, chunk }
    }

    fn too_few(&self) -> RebuildError {
        let failed = self
            .original
            .iter()
            .chain(&self.sources)
            .filter_map(|source| source.failure().map(|why| (source.chunk(), why)));
        let failures: Vec<String> = failed.map(|(chunk, why)| format!("chunk {chunk}: {why}")).collect();
        let failures = if failures.is_empty() { "no more are named".to_owned() } else { failures.join(", ") };
        RebuildError::TooFewSources { failures }
    }
}

fn bytes_of(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| frame.bytes().len() as u64).sum()
}
