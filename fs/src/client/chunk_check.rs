//! Reads all of one chunk of a segment and compares it with the segment's record.

use bytes::Bytes;
use cairn_codec::{Digest, Layout};
use cairn_proto::records::{Chunk, Segment};
use cairn_proto::wire;

use super::chunk_request::{ChunkFailure, ChunkStream, ExpectedCell};
use super::{Client, ClientError, FoundBlob, wire_layout};

/// Rows that are asked for at once.
const ROWS_PER_REQUEST: usize = 1_024;

/// What is wrong with a chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkFault {
    /// Its node cannot be asked, or is gone.
    Unreachable(String),
    /// Its node does not have it as it is on record.
    Absent(String),
    /// A cell of it is damaged, or all of them together are not what the record says.
    Damaged(String),
}

impl Client {
    /// Reads every cell of a chunk that has any, at its node, and compares their sum with the record. Answers the payload
    /// bytes that were read.
    ///
    /// # Errors
    /// When the layout on record is none. What is wrong with the chunk is an answer.
    pub async fn check_chunk(
        &self,
        found: &FoundBlob,
        segment: &Segment,
        chunk: usize,
    ) -> Result<Result<u64, ChunkFault>, ClientError> {
        let layout = wire_layout::from_wire("master", Some(&segment.layout))?;
        let record = &segment.chunks[chunk];
        let Some(node) = record.place.and_then(|place| found.node(place.node)) else {
            return Ok(Err(ChunkFault::Unreachable("no registered node keeps it".to_owned())));
        };
        let channel = match self.connection.nodes.at(&node.address) {
            Ok(connections) => connections.bulk_reads(),
            Err(error) => return Ok(Err(ChunkFault::Unreachable(error.to_string()))),
        };
        let cells = cells(&layout, segment, chunk);
        let mut sum = Sum { digest: Digest::ZERO, cells: 0, bytes: 0 };
        for cells in cells.chunks(ROWS_PER_REQUEST) {
            let stream = ChunkStream::open(channel.clone(), request(segment, chunk, record), cells.to_vec()).await;
            let added = match stream {
                Ok(stream) => sum.add(stream).await,
                Err(failure) => Err(failure.into()),
            };
            if let Err(fault) = added {
                return Ok(Err(fault));
            }
        }
        Ok(sum.compare(record))
    }
}

struct Sum {
    digest: Digest,
    cells: u64,
    bytes: u64,
}

impl Sum {
    async fn add(&mut self, mut stream: ChunkStream) -> Result<(), ChunkFault> {
        while let Some(frame) = stream.next_frame().await? {
            let frame = frame.map_err(ChunkFault::Damaged)?;
            self.digest.add(&frame.digest());
            self.cells += 1;
            self.bytes += frame.payload_len() as u64;
        }
        Ok(())
    }

    /// A chunk may have cells of rows that a truncation cut off before the seal: these are not asked for, and the sum of
    /// the others says nothing.
    fn compare(self, record: &Chunk) -> Result<u64, ChunkFault> {
        if self.cells == record.cells && *self.digest.as_bytes() != record.digest {
            let why = format!("its cells have digest {}, and another is recorded", self.digest);
            return Err(ChunkFault::Damaged(why));
        }
        Ok(self.bytes)
    }
}

impl From<ChunkFailure> for ChunkFault {
    fn from(failure: ChunkFailure) -> Self {
        let why = failure.to_string();
        if failure.is_of_node() {
            Self::Unreachable(why)
        } else if failure.is_misplaced() {
            Self::Absent(why)
        } else {
            Self::Damaged(why)
        }
    }
}

fn request(segment: &Segment, chunk: usize, record: &Chunk) -> wire::GetChunkRequest {
    wire::GetChunkRequest {
        segment: segment.id.to_wire(),
        chunk_index: u32::try_from(chunk).expect("a layout has at most 255 chunks"),
        ranges: Vec::new(),
        version: Some(wire::get_chunk_request::Version::Digest(Bytes::copy_from_slice(&record.digest))),
        background: false,
    }
}

/// The cells that a chunk has of the rows of its segment.
fn cells(layout: &Layout, segment: &Segment, chunk: usize) -> Vec<ExpectedCell> {
    let rows = 0..layout.row_count(segment.length_bytes);
    let with_length = rows.map(|row| (row, layout.row_length(segment.length_bytes, row)));
    let with_cell = with_length.filter(|(_, length)| layout.cell_length(*length, chunk) > 0);
    with_cell.map(|(row, length)| ExpectedCell::new(layout, segment.id, row, length, chunk)).collect()
}
