use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::Refusal;
use cairn_proto::ids::SegmentId;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tonic::Status;

use super::cell_body::Portion;
use super::request::RowRange;
use crate::node::Node;
use crate::store::{Cells, StoreError};

/// Frame bytes after which a message is sent.
const MESSAGE_BYTES: usize = 512 << 10;

/// Messages that are read ahead of the one being sent.
const MESSAGES_AHEAD: usize = 1;

/// A reader that takes nothing for so long loses its stream, and with it its share of the memory.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadPurpose {
    /// Somebody waits for it.
    Client,
    /// It waits for what the node may do in the background.
    Background,
}

/// What a stream holds as long as it is read.
pub(super) struct ReadPermits {
    pub(super) _any: OwnedSemaphorePermit,
    pub(super) _background: Option<OwnedSemaphorePermit>,
}

/// What is read.
pub(super) struct ReadChunk {
    pub(super) segment: SegmentId,
    /// The index of a chunk that is sealed, so that all its cells must be there.
    pub(super) sealed_chunk: Option<u8>,
    pub(super) cells: Cells,
    pub(super) ranges: Vec<RowRange>,
}

/// Reads the cells of one request from the disk and hands them on in messages.
pub(super) struct ReadStream {
    node: Arc<Node>,
    chunk: ReadChunk,
    purpose: ReadPurpose,
    portions: mpsc::Sender<Portion>,
    _permits: ReadPermits,
}

/// The reader went away or takes nothing any more.
struct Unheard;

impl ReadStream {
    /// Starts reading on a thread of its own; the portions come out of the receiver.
    pub(super) fn start(
        node: &Arc<Node>,
        chunk: ReadChunk,
        purpose: ReadPurpose,
        permits: ReadPermits,
    ) -> mpsc::Receiver<Portion> {
        let (portions, received) = mpsc::channel(MESSAGES_AHEAD);
        let node = Arc::clone(node);
        let stream = Self { node, chunk, purpose, portions, _permits: permits };
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            // A reader that is gone needs no answer.
            let _ = stream.send_all(&runtime);
        });
        received
    }

    fn send_all(&self, runtime: &Handle) -> Result<(), Unheard> {
        let mut message = Vec::new();
        let mut bytes = 0;
        for position in self.chunk.ranges.iter().flat_map(|range| range.positions()) {
            // Only when another cell follows: the last message goes out with the end of the answer.
            if bytes >= MESSAGE_BYTES {
                self.send(runtime, std::mem::take(&mut message), None)?;
                bytes = 0;
            }
            let frame = match self.chunk.cells.lend(position) {
                Ok(Some(frame)) => frame,
                Ok(None) => return self.refuse(runtime, message, StoreError::NotFound { segment: self.chunk.segment }),
                Err(error) => return self.refuse(runtime, message, error),
            };
            bytes += frame.len();
            message.push(frame);
        }
        self.send(runtime, message, Some(Status::ok("")))
    }

    fn refuse(&self, runtime: &Handle, read: Vec<Bytes>, error: StoreError) -> Result<(), Unheard> {
        if let StoreError::CellCorrupt { segment, position, chunk, why } = &error {
            let (stripe, row) = (position.stripe, position.row);
            tracing::error!(node = self.node.name(), %segment, stripe, row, chunk, why, "a stored cell is corrupt");
        }
        if let Some(chunk_index) = self.chunk.sealed_chunk {
            self.node.scrubs.note(self.chunk.segment, chunk_index, &error.to_string());
        }
        self.send(runtime, read, Some(Refusal::from(error).into()))
    }

    /// Hands cells on, and with the last of them how the answer ends: both then go out together.
    fn send(&self, runtime: &Handle, cells: Vec<Bytes>, end: Option<Status>) -> Result<(), Unheard> {
        if self.purpose == ReadPurpose::Background && !cells.is_empty() {
            let bytes = cells.iter().map(|cell| cell.len() as u64).sum();
            runtime.block_on(self.node.background.spend(bytes));
        }
        match self.portions.try_send(Portion { cells, end }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Closed(_)) => Err(Unheard),
            Err(TrySendError::Full(portion)) => self.wait_to_send(runtime, portion),
        }
    }

    fn wait_to_send(&self, runtime: &Handle, portion: Portion) -> Result<(), Unheard> {
        let sent = runtime.block_on(async { tokio::time::timeout(STALL_LIMIT, self.portions.send(portion)).await });
        sent.map_err(|_| Unheard)?.map_err(|_| Unheard)
    }
}
