//! Reads back a row that was sent and is not committed yet.

use bytes::{Bytes, BytesMut};
use cairn_proto::wire;
use cairn_proto::wire::get_chunk_request::Version;
use futures_util::future::join_all;

use super::ClientError;
use super::chunk_request::{ChunkFailure, ChunkStream, ExpectedCell};
use super::row_gather::{RowGather, Standing, Step};
use super::segment_writer::Parts;
use super::target_state::TargetState;

/// The `length` bytes of a row written before.
pub(super) async fn read(parts: &Parts, row: u64, length: usize) -> Result<Bytes, ClientError> {
    let layout = *parts.coder.layout();
    let wanted: Vec<usize> = (0..layout.data_cells(length)).collect();
    let mut gather = RowGather::new(layout, length, wanted);
    let mut failures = Vec::new();
    loop {
        match gather.step(|chunk| standing(&parts.targets[chunk])) {
            Step::Finish => break,
            Step::Ask(chunks) => {
                let fetches = chunks.iter().map(|chunk| fetch(parts, row, length, *chunk));
                for (chunk, cell) in chunks.iter().zip(join_all(fetches).await) {
                    match cell {
                        Ok(payload) => gather.arrived(*chunk, payload),
                        Err(why) => {
                            failures.push(format!("chunk {chunk} ({why})"));
                            gather.failed(*chunk);
                        }
                    }
                }
            }
            Step::Wait | Step::TooFew { .. } => {
                let (segment, layout) = (parts.transaction.segment, layout.to_string());
                return Err(ClientError::TargetsLost { segment, layout, failures: failures.join(", ") });
            }
        }
    }
    let mut cells = gather.finish(&parts.coder);
    cells.sort_unstable_by_key(|(chunk, _)| *chunk);
    let mut bytes = BytesMut::with_capacity(length);
    for (_, payload) in &cells {
        bytes.extend_from_slice(payload);
    }
    Ok(bytes.freeze())
}

fn standing(state: &TargetState) -> Standing {
    match state {
        TargetState::Started(_, stream) if stream.failure().is_none() => Standing::Good { distance: 0 },
        TargetState::Sealed(..) => Standing::Good { distance: 0 },
        // What was relayed may not have come there yet.
        TargetState::Started(..)
        | TargetState::Quiet(_)
        | TargetState::Relayed { .. }
        | TargetState::CutOff { .. }
        | TargetState::Hole => Standing::Gone,
    }
}

/// One cell of the row, once the node has stored all that was sent to it.
async fn fetch(parts: &Parts, row: u64, length: usize, chunk: usize) -> Result<Bytes, String> {
    let (target, version) = match &parts.targets[chunk] {
        TargetState::Hole | TargetState::Quiet(_) | TargetState::Relayed { .. } | TargetState::CutOff { .. } => {
            return Err("was never sent".to_owned());
        }
        TargetState::Started(_, stream) if !stream.flush().await => {
            return Err(stream.failure().map_or_else(|| "lost".to_owned(), ToString::to_string));
        }
        TargetState::Started(target, _) => (target, Version::Unsealed(target.chunk.clone())),
        TargetState::Sealed(target, chunk) => (target, Version::Digest(Bytes::copy_from_slice(&chunk.digest))),
    };
    let segment = parts.transaction.segment;
    let request = wire::GetChunkRequest {
        segment: segment.to_wire(),
        chunk_index: target.chunk.chunk_index,
        ranges: Vec::new(),
        version: Some(version),
        background: false,
    };
    let expected = ExpectedCell::new(parts.coder.layout(), segment, row, length, chunk);
    let answer = async {
        let mut cells = ChunkStream::open(target.connections.small_reads(), request, vec![expected]).await?;
        cells.next().await
    };
    match answer.await {
        Ok(Some(cell)) => cell.map(|cell| cell.payload),
        Ok(None) => Err(ChunkFailure::EndedEarly.to_string()),
        Err(failure) => Err(failure.to_string()),
    }
}
