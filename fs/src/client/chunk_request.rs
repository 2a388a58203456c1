use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use cairn_codec::{CellId, Frame, Layout};
use cairn_proto::transport::DirectChannel;
use cairn_proto::{Refusal, WireRefusal, wire};
use tokio::time::timeout;

use super::chunk_messages::ChunkMessages;
use super::row_encoder::cell_id;
use super::transport;
use cairn_proto::ids::SegmentId;

/// A node that sends nothing for this long while cells are due is given up.
const STALL: Duration = Duration::from_secs(2);

/// A cell that a node is to send.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpectedCell {
    id: CellId,
    length: usize,
}

/// A cell found sound.
#[derive(Debug, Clone)]
pub(super) struct ReceivedCell {
    pub(super) payload: Bytes,
    /// The most that the payload, as a slice of what arrived, keeps in memory.
    pub(super) pinned_bytes: usize,
}

/// Why a node did not give all that it was asked for.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ChunkFailure {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Transport(String),
    #[error("sent nothing for {} s", STALL.as_secs())]
    Stalled,
    #[error("ended its answer before the last cell")]
    EndedEarly,
}

impl ChunkFailure {
    /// Whether the node itself, rather than this chunk on it, is to be passed over.
    pub(super) fn is_of_node(&self) -> bool {
        matches!(self, Self::Transport(_) | Self::Stalled | Self::Refused(Refusal::NotReady { .. }))
    }

    /// Whether the master may know of another place of the chunk by now.
    pub(super) fn is_misplaced(&self) -> bool {
        matches!(
            self,
            Self::Refused(
                Refusal::ChunkNotFound { .. } | Refusal::ChunkStale { .. } | Refusal::WrongIncarnation { .. }
            )
        )
    }
}

impl From<tonic::Status> for ChunkFailure {
    fn from(status: tonic::Status) -> Self {
        match WireRefusal::from(status) {
            WireRefusal::Refused(refusal) => Self::Refused(refusal),
            WireRefusal::Transport(status) => Self::Transport(transport::describe(&status)),
        }
    }
}

/// Cells of one chunk on their way from a node, each checked before it is given out.
#[derive(Debug)]
pub(super) struct ChunkStream {
    messages: ChunkMessages,
    expected: VecDeque<ExpectedCell>,
    arrived: VecDeque<Bytes>,
    pinned_bytes: usize,
}

/// The next cell, or what is wrong with it.
pub(super) type NextCell = Result<ReceivedCell, String>;

impl ExpectedCell {
    /// The cell of `chunk` in a row of `row_length` user bytes.
    pub(super) fn new(layout: &Layout, segment: SegmentId, row: u64, row_length: usize, chunk: usize) -> Self {
        Self { id: cell_id(layout, segment, row, chunk), length: layout.cell_length(row_length, chunk) }
    }

    pub(super) fn id(&self) -> CellId {
        self.id
    }

    fn check(&self, frame: Bytes) -> Result<Frame, String> {
        let frame = Frame::parse(frame).map_err(|error| error.to_string())?;
        frame.check_id(&self.id).map_err(|error| error.to_string())?;
        if frame.payload_len() != self.length {
            return Err(format!("has {} bytes, not {}", frame.payload_len(), self.length));
        }
        Ok(frame)
    }
}

impl ChunkStream {
    /// Asks for `expected` (of one chunk, rows rising). `request` lacks only the ranges.
    pub(super) async fn open(
        channel: DirectChannel,
        mut request: wire::GetChunkRequest,
        expected: Vec<ExpectedCell>,
    ) -> Result<Self, ChunkFailure> {
        request.ranges = ranges(&expected);
        let answer = timeout(STALL, ChunkMessages::request(channel, &request)).await;
        let messages = answer.map_err(|_| ChunkFailure::Stalled)??;
        Ok(Self { messages, expected: expected.into(), arrived: VecDeque::new(), pinned_bytes: 0 })
    }

    /// The next cell in the order asked; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<NextCell>, ChunkFailure> {
        let frame = self.next_frame().await?;
        let pinned_bytes = self.pinned_bytes;
        Ok(frame.map(|frame| frame.map(|frame| ReceivedCell { payload: frame.payload(), pinned_bytes })))
    }

    /// The same, as it was stored.
    pub(super) async fn next_frame(&mut self) -> Result<Option<Result<Frame, String>>, ChunkFailure> {
        if self.expected.is_empty() {
            return Ok(None);
        }
        while self.arrived.is_empty() {
            let message = timeout(STALL, self.messages.next()).await.map_err(|_| ChunkFailure::Stalled)??;
            let received = message.ok_or(ChunkFailure::EndedEarly)?;
            self.pinned_bytes = received.pinned_bytes;
            self.arrived = received.message.cells.into();
        }
        let cell = self.expected.pop_front().zip(self.arrived.pop_front());
        Ok(cell.map(|(expected, frame)| expected.check(frame)))
    }
}

/// Runs of rows within stripes.
fn ranges(cells: &[ExpectedCell]) -> Vec<wire::CellRange> {
    let mut ranges: Vec<wire::CellRange> = Vec::new();
    for cell in cells {
        match ranges.last_mut() {
            Some(last) if last.stripe == cell.id.stripe && last.first_row + last.rows == cell.id.row => last.rows += 1,
            _ => ranges.push(wire::CellRange { stripe: cell.id.stripe, first_row: cell.id.row, rows: 1 }),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use cairn_codec::Layout;
    use cairn_proto::ids::SegmentId;
    use cairn_proto::wire::CellRange;

    use super::{ExpectedCell, ranges};

    #[test]
    fn rows_are_asked_for_in_runs_within_stripes() {
        let layout = Layout::DEFAULT;
        let last = u64::from(layout.rows_per_stripe()) - 1;
        let segment = SegmentId::generate();
        let cell = |row| ExpectedCell::new(&layout, segment, row, layout.row_size_bytes(), 1);
        let cells: Vec<_> = [0, 1, 2, 5, last, last + 1].into_iter().map(cell).collect();
        let last = u32::try_from(last).unwrap();
        let range = |stripe, first_row, rows| CellRange { stripe, first_row, rows };
        assert_eq!(ranges(&cells), [range(0, 0, 3), range(0, 5, 1), range(0, last, 1), range(1, 0, 1)]);
    }
}
