//! Fetches cells of one chunk from its node and reports them as they come.

use std::sync::Arc;
use std::time::Duration;

use cairn_proto::wire;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::chunk_request::{ChunkFailure, ChunkStream, ExpectedCell, ReceivedCell};
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

/// One request for cells of a chunk. `rows` are blob rows, in the order of `expected`.
#[derive(Debug)]
pub(super) struct CellRequest {
    pub(super) connections: Arc<NodeConnections>,
    pub(super) request: wire::GetChunkRequest,
    pub(super) chunk: usize,
    pub(super) rows: Vec<u64>,
    pub(super) expected: Vec<ExpectedCell>,
    pub(super) cell_size_bytes: usize,
}

impl CellRequest {
    /// Sends events until every row had one that ends its wait. An error: nobody listens any more.
    pub(super) async fn run(self, events: mpsc::Sender<Event>) {
        let (chunk, mut left) = (self.chunk, std::collections::VecDeque::from(self.rows));
        let small = self.expected.len() * self.cell_size_bytes < SMALL_READ_BYTES;
        let channel = if small { self.connections.small_reads() } else { self.connections.bulk_reads() };
        let failure = async {
            let opening = ChunkStream::open(channel, self.request, self.expected);
            let mut stream = or_late(opening, &events, chunk, &left).await?;
            while let Some(cell) = or_late(stream.next(), &events, chunk, &left).await? {
                let Some(row) = left.pop_front() else { break };
                let event = match cell {
                    Ok(cell) => Event::Arrived { row, chunk, cell },
                    Err(why) => Event::Damaged { row, chunk, why },
                };
                if events.send(event).await.is_err() {
                    break;
                }
            }
            Ok(())
        };
        let failure: Result<(), ChunkFailure> = failure.await;
        if let Err(failure) = failure {
            // Without a listener there is nobody to tell.
            let _ = events.send(Event::Broken { rows: left.into(), chunk, failure }).await;
        }
    }
}

/// Waits for `answer`, and reports if it takes long.
async fn or_late<T>(
    answer: impl Future<Output = T>,
    events: &mpsc::Sender<Event>,
    chunk: usize,
    left: &std::collections::VecDeque<u64>,
) -> T {
    let mut answer = std::pin::pin!(answer);
    if let Ok(answer) = timeout(HEDGE, &mut answer).await {
        return answer;
    }
    // Without a listener there is nobody to tell.
    let _ = events.send(Event::Late { rows: left.iter().copied().collect(), chunk }).await;
    answer.await
}
