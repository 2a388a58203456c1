use std::sync::Arc;

use cairn_codec::{Coder, Frame};
use futures_util::future::join;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::{Pace, Piece, Rebuild, RebuildError, RebuildProgress, bytes_of};
use crate::background::Background;
use crate::store::{CellMark, Inspected, Inspector, Position, StoreError, Tally};
use crate::stores::Stores;

/// Cells to be written that are held until all of the chunk was seen; what is more is read and made a second time.
const HELD_BYTES: usize = 16 << 20;

/// What a piece of a chunk needs.
struct Work {
    row_length: usize,
    /// Rows whose cells are right, and lie where they cannot stay.
    to_move: Vec<u64>,
    /// Rows whose cells are made from other chunks'.
    to_make: Vec<u64>,
    /// Count, bytes and digest of all these cells.
    tally: Tally,
    /// The cells themselves, if they are held.
    frames: Option<Vec<Frame>>,
}

/// A chunk that is being looked at.
struct Inspection {
    inspector: Inspector,
    coder: Coder,
    tally: Tally,
    held_bytes: usize,
    done: RebuildProgress,
}

impl Rebuild {
    /// Puts the chunk right where it is: what cannot be read is made from other chunks, cell by cell. Nothing is written
    /// before the sum over all cells, those that are there and those that were made, is the one on record. Makes the
    /// whole chunk if it is not here at all.
    pub(crate) async fn mend(
        self,
        stores: Arc<Stores>,
        background: &Background,
        progress: watch::Sender<RebuildProgress>,
    ) -> Result<Tally, RebuildError> {
        let expected = self.expected();
        let Some(store) = stores.holder(self.segment)?.cloned() else {
            return self.run(stores, background, progress).await;
        };
        let Some(mut mending) = store.begin_mending(self.segment, self.chunk_index, &expected)? else {
            return self.run(stores, background, progress).await;
        };
        let mut inspection = Inspection {
            inspector: mending.inspector().clone(),
            coder: Coder::new(self.layout),
            tally: Tally::EMPTY,
            held_bytes: 0,
            done: RebuildProgress::default(),
        };
        let works = self.inspect(&mut inspection, background, &progress).await?;
        if inspection.tally != expected {
            let why = "the cells that are there and those that were made are not what is on record".to_owned();
            return Err(StoreError::SealMismatch { why }.into());
        }
        for work in works {
            let frames = self.frames_of(&inspection, work).await?;
            background.spend(bytes_of(&frames)).await;
            store.write_mended(&mut mending, frames).await?;
        }
        Ok(store.end_mending(mending).await?)
    }

    /// Looks at every cell, and makes those that cannot be read.
    async fn inspect(
        &self,
        inspection: &mut Inspection,
        background: &Background,
        progress: &watch::Sender<RebuildProgress>,
    ) -> Result<Vec<Work>, RebuildError> {
        let pace = Pace::start(self.bytes_per_second);
        let mut works = Vec::new();
        for piece in self.pieces() {
            let cell_bytes = self.layout.cell_length(piece.row_length, usize::from(self.chunk_index));
            let looked_at_bytes = (cell_bytes * piece.rows.len()) as u64;
            works.extend(self.inspect_piece(inspection, piece).await?);
            if progress.send(inspection.done).is_err() {
                return Err(RebuildError::Abandoned);
            }
            join(pace.wait(inspection.done.read_bytes), background.spend(looked_at_bytes)).await;
        }
        Ok(works)
    }

    async fn inspect_piece(&self, inspection: &mut Inspection, piece: Piece) -> Result<Option<Work>, RebuildError> {
        let found = self.look(&inspection.inspector, &piece.rows).await?;
        inspection.done.cells += found.len() as u64;
        let row_length = piece.row_length;
        let (mut to_move, mut to_make, mut frames) = (Vec::new(), Vec::new(), Vec::new());
        for (row, found) in piece.rows.into_iter().zip(found) {
            match found {
                Inspected::Sound(frame) => inspection.tally.add(&CellMark::of(&frame)),
                Inspected::ToMove(frame) => {
                    to_move.push(row);
                    frames.push(frame);
                }
                Inspected::Unreadable => to_make.push(row),
            }
        }
        if to_move.is_empty() && to_make.is_empty() {
            return Ok(None);
        }
        let (made, read_bytes) = self.make_rows(&inspection.coder, &to_make, row_length).await?;
        inspection.done.read_bytes += read_bytes;
        frames.extend(made);
        let tally = tally_of(&frames);
        for frame in &frames {
            inspection.tally.add(&CellMark::of(frame));
        }
        let bytes: usize = frames.iter().map(|frame| frame.bytes().len()).sum();
        let is_held = inspection.held_bytes + bytes <= HELD_BYTES;
        inspection.held_bytes += if is_held { bytes } else { 0 };
        Ok(Some(Work { row_length, to_move, to_make, tally, frames: is_held.then_some(frames) }))
    }

    /// The cells of a piece that are to be written: as they were when all of the chunk was right.
    async fn frames_of(&self, inspection: &Inspection, work: Work) -> Result<Vec<Frame>, RebuildError> {
        if let Some(frames) = work.frames {
            return Ok(frames);
        }
        let found = self.look(&inspection.inspector, &work.to_move).await?;
        let moved = found.into_iter().filter_map(|found| match found {
            Inspected::ToMove(frame) => Some(frame),
            Inspected::Sound(_) | Inspected::Unreadable => None,
        });
        let mut frames: Vec<Frame> = moved.collect();
        frames.extend(self.make_rows(&inspection.coder, &work.to_make, work.row_length).await?.0);
        if tally_of(&frames) == work.tally {
            return Ok(frames);
        }
        let why = "its cells changed while it was put right".to_owned();
        Err(StoreError::Broken { segment: self.segment, why }.into())
    }

    async fn make_rows(
        &self,
        coder: &Coder,
        rows: &[u64],
        row_length: usize,
    ) -> Result<(Vec<Frame>, u64), RebuildError> {
        if rows.is_empty() {
            return Ok((Vec::new(), 0));
        }
        self.read(coder, Piece { rows: rows.to_vec(), row_length }).await
    }

    async fn look(&self, inspector: &Inspector, rows: &[u64]) -> Result<Vec<Inspected>, RebuildError> {
        let positions = rows.iter().map(|row| self.layout.position(*row));
        let positions: Vec<Position> =
            positions.map(|position| Position { stripe: position.stripe, row: position.row }).collect();
        let inspector = inspector.clone();
        let looked =
            spawn_blocking(move || positions.into_iter().map(|position| inspector.inspect(position)).collect()).await;
        looked.map_err(|error| StoreError::ReadFailed { why: error.to_string() }.into())
    }
}

fn tally_of(frames: &[Frame]) -> Tally {
    let mut tally = Tally::EMPTY;
    for frame in frames {
        tally.add(&CellMark::of(frame));
    }
    tally
}
