//! Fetches cells of one chunk from its node and reports them as they come.

use std::collections::VecDeque;
use std::time::Duration;

use cairn_proto::wire;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::chunk_request::{ChunkFailure, ChunkStream, ExpectedCell, NextCell, ReceivedCell};
use super::nodes::NodeConnections;

/// A node that has sent nothing for this long is slow: other chunks are asked for beside it.
const HEDGE: Duration = Duration::from_millis(300);
/// Requests for fewer bytes than this do not queue behind bulk transfers.
const SMALL_READ_BYTES: usize = 512 << 10;

/// What happened to cells that were asked for.
#[derive(Debug)]
pub(super) enum Event {
    Arrived {
        row: u64,
        chunk: usize,
        cell: ReceivedCell,
    },
    Damaged {
        row: u64,
        chunk: usize,
        why: String,
    },
    /// The cells asked for of a chunk are slow to come.
    Late {
        rows: Vec<u64>,
        chunk: usize,
    },
    /// The rest of what was asked for does not come.
    Broken {
        rows: Vec<u64>,
        chunk: usize,
        failure: ChunkFailure,
    },
}

/// One request for cells of a chunk.
pub(super) struct CellRequest {
    chunk: usize,
    /// Rows of the blob whose cells are due, in the order asked for.
    left: VecDeque<u64>,
    state: State,
    /// Whether it was told that the cell due next is late.
    told_late: bool,
}

enum State {
    /// The node has not begun to answer. The request is made at the first wait.
    Opening(BoxFuture<'static, Result<ChunkStream, ChunkFailure>>),
    Open(ChunkStream),
}

impl CellRequest {
    /// `request` lacks only the ranges. `rows` are those of the blob, in the order of `expected`.
    pub(super) fn new(
        connections: &NodeConnections,
        request: wire::GetChunkRequest,
        chunk: usize,
        rows: Vec<u64>,
        expected: Vec<ExpectedCell>,
        cell_size_bytes: usize,
    ) -> Self {
        let small = expected.len() * cell_size_bytes < SMALL_READ_BYTES;
        let channel = if small { connections.small_reads() } else { connections.bulk_reads() };
        let opening = ChunkStream::open(channel, request, expected).boxed();
        Self { chunk, left: rows.into(), state: State::Opening(opening), told_late: false }
    }

    /// What happens next; `None` once every row had an event that ends its wait. May be given up and called again.
    pub(super) async fn next(&mut self) -> Option<Event> {
        if self.left.is_empty() {
            return None;
        }
        let chunk = self.chunk;
        let in_time = if self.told_late {
            Some(self.state.next_cell().await)
        } else {
            timeout(HEDGE, self.state.next_cell()).await.ok()
        };
        self.told_late = in_time.is_none();
        let Some(cell) = in_time else {
            return Some(Event::Late { rows: self.left.iter().copied().collect(), chunk });
        };
        Some(match cell {
            Ok(cell) => {
                let row = self.left.pop_front()?;
                match cell {
                    Ok(cell) => Event::Arrived { row, chunk, cell },
                    Err(why) => Event::Damaged { row, chunk, why },
                }
            }
            Err(failure) => Event::Broken { rows: std::mem::take(&mut self.left).into(), chunk, failure },
        })
    }
}

impl State {
    /// The cell that is due. Given up in between, it goes on where it was.
    async fn next_cell(&mut self) -> Result<NextCell, ChunkFailure> {
        loop {
            match self {
                Self::Opening(opening) => {
                    let stream = opening.await?;
                    *self = Self::Open(stream);
                }
                Self::Open(stream) => return stream.next().await?.ok_or(ChunkFailure::EndedEarly),
            }
        }
    }
}
