use std::time::Duration;

use bytes::Bytes;
use cairn_codec::Frame;
use cairn_proto::wire::chunks_client::ChunksClient;
use cairn_proto::wire::get_chunk_request::Version;
use cairn_proto::{Refusal, WireRefusal, wire};
use parking_lot::Mutex;
use tokio::time::timeout;
use tonic::transport::Channel;

use super::Rebuild;

/// A node that sends nothing for this long is given up.
const STALL: Duration = Duration::from_secs(5);

/// Why cells were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ReadFailure {
    /// One of them is damaged; others of the chunk may be right.
    Cell(String),
    /// Nothing more is to be had there.
    Source(String),
}

impl From<String> for ReadFailure {
    fn from(why: String) -> Self {
        Self::Source(why)
    }
}

/// A chunk of the segment, at its node. Once it failed it is not asked again.
pub(crate) struct Source {
    chunk: u8,
    client: ChunksClient<Channel>,
    failure: Mutex<Option<String>>,
}

impl Source {
    pub(crate) fn new(chunk: u8, client: ChunksClient<Channel>) -> Self {
        Self { chunk, client, failure: Mutex::default() }
    }

    pub(super) fn chunk(&self) -> usize {
        usize::from(self.chunk)
    }

    /// Why it cannot be read from, if so.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Its cells of rows of one length, each checked.
    pub(super) async fn read(
        &self,
        rebuild: &Rebuild,
        rows: &[u64],
        row_length: usize,
    ) -> Result<Vec<Bytes>, ReadFailure> {
        let read = self.try_read(rebuild, rows, row_length).await;
        read.inspect_err(|failure| match failure {
            ReadFailure::Cell(why) => {
                tracing::warn!(segment = %rebuild.segment, chunk = self.chunk, why, "a cell to rebuild from is damaged");
            }
            ReadFailure::Source(why) => {
                tracing::warn!(segment = %rebuild.segment, chunk = self.chunk, why, "a chunk cannot be read to rebuild");
                self.failure.lock().get_or_insert(why.clone());
            }
        })
    }

    async fn try_read(&self, rebuild: &Rebuild, rows: &[u64], row_length: usize) -> Result<Vec<Bytes>, ReadFailure> {
        let record = &rebuild.chunks[self.chunk()];
        let request = wire::GetChunkRequest {
            segment: rebuild.segment.to_wire(),
            chunk_index: u32::from(self.chunk),
            ranges: self.ranges(rebuild, rows),
            version: Some(Version::Digest(Bytes::copy_from_slice(&record.digest))),
            background: true,
        };
        let stalled = |_| format!("sent nothing for {} s", STALL.as_secs());
        let refused = |status| match WireRefusal::from(status) {
            refusal @ WireRefusal::Refused(Refusal::CellCorrupt { .. }) => ReadFailure::Cell(refusal.to_string()),
            other => ReadFailure::Source(other.to_string()),
        };
        let mut client = self.client.clone();
        let answer = timeout(STALL, client.get_chunk(request)).await.map_err(stalled)?.map_err(refused)?;
        let (mut messages, mut cells) = (answer.into_inner(), Vec::with_capacity(rows.len()));
        while let Some(message) = timeout(STALL, messages.message()).await.map_err(stalled)?.map_err(refused)? {
            for cell in message.cells {
                let row = *rows.get(cells.len()).ok_or_else(|| "sent more cells than were asked for".to_owned())?;
                cells.push(self.checked(rebuild, row, row_length, cell).map_err(ReadFailure::Cell)?);
            }
        }
        if cells.len() == rows.len() {
            Ok(cells)
        } else {
            Err(ReadFailure::Source("ended before the last cell".to_owned()))
        }
    }

    fn checked(&self, rebuild: &Rebuild, row: u64, row_length: usize, cell: Bytes) -> Result<Bytes, String> {
        let frame = Frame::parse(cell).map_err(|error| error.to_string())?;
        frame.check_id(&rebuild.cell_id(row, self.chunk)).map_err(|error| error.to_string())?;
        let length = rebuild.layout.cell_length(row_length, self.chunk());
        if frame.payload_len() != length {
            return Err(format!("a cell of {} bytes, not {length}", frame.payload_len()));
        }
        Ok(frame.payload())
    }

    /// Runs of rows within stripes.
    fn ranges(&self, rebuild: &Rebuild, rows: &[u64]) -> Vec<wire::CellRange> {
        let mut ranges: Vec<wire::CellRange> = Vec::new();
        for row in rows {
            let id = rebuild.cell_id(*row, self.chunk);
            match ranges.last_mut() {
                Some(last) if last.stripe == id.stripe && last.first_row + last.rows == id.row => last.rows += 1,
                _ => ranges.push(wire::CellRange { stripe: id.stripe, first_row: id.row, rows: 1 }),
            }
        }
        ranges
    }
}
