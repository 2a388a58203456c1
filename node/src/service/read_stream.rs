use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::Refusal;
use cairn_proto::ids::SegmentId;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::cell_body::ReadResult;
use super::request::RowRange;
use crate::node::Node;
use crate::store::{Cells, StoreError};

/// Frame bytes after which a message is sent.
const MESSAGE_BYTES: usize = 512 << 10;

/// Messages that are read ahead of the one being sent.
const MESSAGES_AHEAD: usize = 1;

/// A reader that takes nothing for so long loses its stream, and with it its share of the memory.
const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Reads the cells of one request from the disk and hands them on in messages.
pub(super) struct ReadStream {
    node: Arc<Node>,
    /// The index of a chunk that is sealed, so that all its cells must be there.
    sealed_chunk: Option<u8>,
    segment: SegmentId,
    cells: Cells,
    ranges: Vec<RowRange>,
    messages: mpsc::Sender<ReadResult>,
    _permit: OwnedSemaphorePermit,
}

/// The reader went away or takes nothing any more.
struct Unheard;

impl ReadStream {
    /// Starts reading on a thread of its own; the messages come out of the receiver.
    pub(super) fn start(
        node: &Arc<Node>,
        sealed_chunk: Option<u8>,
        segment: SegmentId,
        cells: Cells,
        ranges: Vec<RowRange>,
        permit: OwnedSemaphorePermit,
    ) -> mpsc::Receiver<ReadResult> {
        let (messages, received) = mpsc::channel(MESSAGES_AHEAD);
        let node = Arc::clone(node);
        let stream = Self { node, sealed_chunk, segment, cells, ranges, messages, _permit: permit };
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
        for position in self.ranges.iter().flat_map(|range| range.positions()) {
            let frame = match self.cells.lend(position) {
                Ok(Some(frame)) => frame,
                Ok(None) => return self.refuse(runtime, message, StoreError::NotFound { segment: self.segment }),
                Err(error) => return self.refuse(runtime, message, error),
            };
            bytes += frame.len();
            message.push(frame);
            if bytes >= MESSAGE_BYTES {
                self.send(runtime, std::mem::take(&mut message))?;
                bytes = 0;
            }
        }
        self.send(runtime, message)
    }

    fn refuse(&self, runtime: &Handle, read: Vec<Bytes>, error: StoreError) -> Result<(), Unheard> {
        if let StoreError::CellCorrupt { segment, position, chunk, why } = &error {
            let (stripe, row) = (position.stripe, position.row);
            tracing::error!(node = self.node.name(), %segment, stripe, row, chunk, why, "a stored cell is corrupt");
        }
        if let Some(chunk_index) = self.sealed_chunk {
            self.node.scrub.note(self.segment, chunk_index, &error.to_string());
        }
        self.send(runtime, read)?;
        self.deliver(runtime, Err(Refusal::from(error).into()))
    }

    fn send(&self, runtime: &Handle, cells: Vec<Bytes>) -> Result<(), Unheard> {
        if cells.is_empty() { Ok(()) } else { self.deliver(runtime, Ok(cells)) }
    }

    fn deliver(&self, runtime: &Handle, message: ReadResult) -> Result<(), Unheard> {
        let sent = runtime.block_on(async { tokio::time::timeout(STALL_LIMIT, self.messages.send(message)).await });
        sent.map_err(|_| Unheard)?.map_err(|_| Unheard)
    }
}
