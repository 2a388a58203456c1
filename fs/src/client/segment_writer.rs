use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use cairn_codec::{Coder, Layout};
use cairn_proto::ids::{SegmentId, TransactionId};
use cairn_proto::records::{KEPT_CONTENTS_LIMIT_BYTES, KeptContents, Segment};
use futures_util::future::join_all;
use lru::LruCache;
use tokio::sync::OwnedSemaphorePermit;

use super::chunk_account::ChunkAccount;
use super::connection::Connection;
use super::lost_targets::REPLACEMENTS_LIMIT;
use super::outgoing::QueuedCell;
use super::row_encoder::{CellMark, EncodedCell, encode_row};
use super::sent_rows::SentRows;
use super::session::{OpenTransaction, Session};
use super::target::{PlannedTarget, Target};
use super::target_state::TargetState;
use super::target_stream::TargetStream;
use super::{ClientError, unsealed_row, wire_layout};

/// Rows whose checksums are kept, so that writing them again needs no reading back.
const REMEMBERED_ROWS: NonZeroUsize = NonZeroUsize::new(64).expect("not 0");

/// Writes one segment: encodes rows and streams their cells to the target nodes.
///
/// Rows count from 0 in this segment and may be written in any order and again before the seal. At the
/// seal, rows 0 to some n must all have been written, all but the last of them full. A row written
/// again with fewer bytes keeps its old length in the segment, filled up with zeros: shorten the
/// extent, not the row. A segment of one short row is kept by the masters, and nothing of it is sent to a node.
#[derive(Debug)]
pub struct SegmentWriter {
    parts: Option<Parts>,
    failed: Option<ClientError>,
}

/// All of a writer; taken out of it when its life ends.
pub(super) struct Parts {
    pub(super) connection: Arc<Connection>,
    pub(super) session: Arc<Session>,
    pub(super) transaction: Arc<OpenTransaction>,
    pub(super) coder: Coder,
    pub(super) targets: Vec<TargetState>,
    pub(super) accounts: Vec<ChunkAccount>,
    pub(super) rows: SentRows,
    /// Targets that may still be replaced.
    pub(super) replacements_left: usize,
    remembered: LruCache<u64, Vec<CellMark>>,
    /// Row 0 while it is the only one, and so short that the masters may keep it: it is sent nowhere yet.
    unsent: Option<Bytes>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Parts").field("transaction", &self.transaction).finish_non_exhaustive()
    }
}

impl SegmentWriter {
    pub(super) fn new(
        connection: Arc<Connection>,
        session: Arc<Session>,
        transaction: Arc<OpenTransaction>,
        coder: Coder,
        targets: Vec<Option<PlannedTarget>>,
    ) -> Self {
        let layout = *coder.layout();
        let targets = targets.into_iter().map(|planned| planned.map_or(TargetState::Hole, TargetState::from)).collect();
        let accounts = vec![ChunkAccount::default(); layout.chunks()];
        let (rows, remembered) = (SentRows::new(layout), LruCache::new(REMEMBERED_ROWS));
        let parts = Parts {
            connection,
            session,
            transaction,
            coder,
            targets,
            accounts,
            rows,
            replacements_left: REPLACEMENTS_LIMIT,
            remembered,
            unsent: None,
        };
        Self { parts: Some(parts), failed: None }
    }

    /// How the segment is cut and coded.
    pub fn layout(&self) -> &Layout {
        self.parts().coder.layout()
    }

    /// Its id.
    pub fn segment(&self) -> SegmentId {
        self.parts().transaction.segment
    }

    /// Its transaction.
    pub fn transaction(&self) -> TransactionId {
        self.parts().transaction.id
    }

    /// Sends one row: full, or the part-filled last one. Returns when its cells are queued; waits while
    /// the write budget or a target's queue is full. An error stays.
    pub async fn write_row(&mut self, row: u64, data: Bytes) -> Result<(), ClientError> {
        self.check()?;
        let result = self.parts_mut().write_row(row, data).await;
        self.keep(result)
    }

    /// Reads back the first `row_length` bytes of a row written before.
    pub async fn read_row(&mut self, row: u64, row_length: usize) -> Result<Bytes, ClientError> {
        self.check()?;
        let parts = self.parts_mut();
        let missing =
            || ClientError::InvalidRequest { why: format!("row {row} has no {row_length} bytes to read back") };
        if let Some(bytes) = parts.unsent.as_ref().filter(|bytes| row == 0 && row_length <= bytes.len()) {
            return Ok(bytes.slice(..row_length));
        }
        let length = parts.rows.length(row).filter(|length| row_length <= *length).ok_or_else(missing)?;
        let bytes = unsealed_row::read(parts, row, length).await;
        self.keep(bytes).map(|bytes| bytes.slice(..row_length))
    }

    /// Makes the rows durable on their nodes. The transaction goes on until [`super::Client::commit`]
    /// or [`super::Client::discard`].
    pub async fn seal(mut self) -> Result<Segment, ClientError> {
        self.check()?;
        let result = self.parts_mut().seal().await;
        let segment = self.keep(result)?;
        // What was sealed is not to be aborted by the drop.
        self.parts = None;
        Ok(segment)
    }

    /// Gives the segment up. So does dropping it, in the background.
    pub async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            parts.abort().await;
        }
    }

    fn check(&self) -> Result<(), ClientError> {
        self.failed.clone().map_or(Ok(()), Err)?;
        self.parts().session.check_alive()
    }

    fn keep<T>(&mut self, result: Result<T, ClientError>) -> Result<T, ClientError> {
        result.inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("taken only where the writer is consumed")
    }

    fn parts_mut(&mut self) -> &mut Parts {
        self.parts.as_mut().expect("taken only where the writer is consumed")
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and so is the session.
        if let (Some(parts), Ok(runtime)) = (self.parts.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(parts.abort());
        }
    }
}

impl Parts {
    /// The first row waits if the masters may keep it, until the seal or until it is not short or alone any more.
    async fn write_row(&mut self, row: u64, mut data: Bytes) -> Result<(), ClientError> {
        let layout = *self.coder.layout();
        let last_row = layout.row_count(layout.largest_length_bytes());
        if data.is_empty() || data.len() > layout.row_size_bytes() || row >= last_row {
            let why = format!("row {row} of {} bytes in a segment of layout {layout}", data.len());
            return Err(ClientError::InvalidRequest { why });
        }
        if row == 0 && self.rows.is_empty() {
            data = fill_up(data, self.unsent.as_ref().map_or(0, Bytes::len));
            if data.len() <= self.connection.options.kept_contents_bytes.min(KEPT_CONTENTS_LIMIT_BYTES) {
                self.unsent = Some(data);
                return Ok(());
            }
        } else if let Some(first) = self.unsent.clone() {
            self.send_row(0, first).await?;
        }
        self.send_row(row, data).await?;
        self.unsent = None;
        Ok(())
    }

    async fn send_row(&mut self, row: u64, data: Bytes) -> Result<(), ClientError> {
        let old_length = self.rows.length(row);
        let replaced = match old_length {
            Some(length) => self.marks(row, length).await?,
            None => Vec::new(),
        };
        let data = fill_up(data, old_length.unwrap_or(0));
        let (rooms, budget) = self.reserve(data.len()).await;
        // Nothing waits from here on, so a caller that goes away leaves the accounts and the queues in step.
        let cells = encode_row(&self.coder, self.transaction.segment, row, &data);
        for mark in &replaced {
            self.accounts[usize::from(mark.id.chunk)].remove(mark);
        }
        for cell in &cells {
            self.accounts[cell.chunk()].add(&cell.mark);
        }
        self.rows.insert(row, data.len());
        self.remembered.put(row, cells.iter().map(|cell| cell.mark).collect());
        self.send(cells, rooms, budget);
        let sent = self.accounts.iter().map(|account| account.length_bytes).max().unwrap_or(0);
        self.transaction.sent_bytes_per_node.store(sent, Ordering::Relaxed);
        self.make_good().await
    }

    /// What a row written before counts for in the accounts. A code is a function of the data, so a row that is read
    /// back tells its code cells too, whether or not their nodes are still there.
    async fn marks(&mut self, row: u64, length: usize) -> Result<Vec<CellMark>, ClientError> {
        if let Some(marks) = self.remembered.get(&row) {
            return Ok(marks.clone());
        }
        let data = unsealed_row::read(self, row, length).await?;
        Ok(encode_row(&self.coder, self.transaction.segment, row, &data).iter().map(|cell| cell.mark).collect())
    }

    /// Waits for room in the queue of every live target, then in the write budget.
    async fn reserve(&mut self, row_length: usize) -> (Vec<Option<OwnedSemaphorePermit>>, OwnedSemaphorePermit) {
        let layout = *self.coder.layout();
        let (mut rooms, mut total) = (Vec::new(), 0);
        for chunk in 0..layout.chunks() {
            let length = layout.cell_length(row_length, chunk);
            let room = if length > 0 { self.room(chunk, length).await } else { None };
            total += if room.is_some() { length } else { 0 };
            rooms.push(room);
        }
        (rooms, self.connection.write_budget.take(total).await)
    }

    async fn room(&mut self, chunk: usize, length: usize) -> Option<OwnedSemaphorePermit> {
        if let TargetState::Quiet(target) = &self.targets[chunk] {
            let nodes = Arc::clone(&self.connection.nodes);
            let stream = TargetStream::start(target.clone(), self.relays_of(chunk), nodes);
            self.targets[chunk] = TargetState::Started(target.clone(), stream);
        }
        match &self.targets[chunk] {
            TargetState::Started(_, stream) => stream.room(length).await,
            TargetState::Hole
            | TargetState::Quiet(_)
            | TargetState::Relayed { .. }
            | TargetState::CutOff { .. }
            | TargetState::Sealed(..) => None,
        }
    }

    fn send(
        &self,
        cells: Vec<EncodedCell>,
        mut rooms: Vec<Option<OwnedSemaphorePermit>>,
        mut budget: OwnedSemaphorePermit,
    ) {
        for cell in cells {
            let room = rooms[cell.chunk()].take();
            if let (Some(room), TargetState::Started(_, stream)) = (room, &self.targets[cell.chunk()]) {
                let share = budget.split(budget.num_permits().min(cell.mark.length as usize));
                stream.send(QueuedCell { frame: cell.frame, room, budget: share });
            }
        }
    }

    async fn seal(&mut self) -> Result<Segment, ClientError> {
        let layout = wire_layout::to_wire(self.coder.layout());
        if let Some(contents) = self.unsent.take().and_then(KeptContents::new) {
            return Ok(Segment::kept(self.transaction.segment, layout, contents, self.transaction.id));
        }
        let length_bytes =
            self.rows.segment_length().map_err(|error| ClientError::InvalidRequest { why: error.to_string() })?;
        if length_bytes == 0 {
            return Err(ClientError::InvalidRequest { why: "a segment without bytes is not sealed".to_owned() });
        }
        loop {
            self.seal_targets().await;
            if self.check_losses().is_ok() {
                break;
            }
            self.make_good().await?;
        }
        let chunks = self.targets.iter().zip(&self.accounts).map(|(state, account)| {
            let place = state.target().filter(|_| state.failure().is_none()).map(Target::place);
            account.record(place)
        });
        Ok(Segment {
            id: self.transaction.segment,
            layout,
            length_bytes,
            chunks: chunks.collect(),
            contents: None,
            uses: 0,
            version: 0,
            transaction: self.transaction.id,
        })
    }

    /// Makes each chunk durable that is not; first those that were sent to, so that what they pass on has come. A lost
    /// target keeps its own failure, which `check_losses` looks at.
    async fn seal_targets(&mut self) {
        self.seal_started().await;
        self.cut_off();
        if self.start_relayed() {
            self.seal_started().await;
        }
    }

    async fn seal_started(&mut self) {
        let seals = self.targets.iter_mut().zip(&self.accounts).map(async |(state, account)| {
            if let TargetState::Started(target, stream) = state {
                let expected = account.record(Some(target.place()));
                if stream.seal(expected.clone()).await {
                    *state = TargetState::Sealed(target.clone(), expected);
                }
            }
        });
        join_all(seals).await;
    }

    /// Stops sending, then tells the master.
    async fn abort(mut self) {
        self.targets.clear();
        self.connection.abort_transaction(&self.session, self.transaction.id).await;
    }
}

/// A row keeps the length it had once: cells that it would lose are already at their nodes.
fn fill_up(data: Bytes, length: usize) -> Bytes {
    if data.len() >= length {
        return data;
    }
    let mut filled = BytesMut::with_capacity(length);
    filled.extend_from_slice(&data);
    filled.resize(length, 0);
    filled.freeze()
}
