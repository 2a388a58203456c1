//! Cells that a node passes on to copies of its chunk.

use cairn_codec::Frame;
use cairn_proto::ids::{BootId, ClusterId, IncarnationId, NodeId};
use cairn_proto::{Refusal, wire};
use tempfile::TempDir;
use tonic::Status;

use super::cluster::{Answer, FakeMaster, TestNode, config, expected, is};
use crate::fixtures::{Chunk, SESSION, at, payload};

const CELL: usize = 64 << 10;

/// Two nodes of one cluster: what is written to the first is passed on to the second.
struct Pair {
    first: TestNode,
    second: TestNode,
    chunk: Chunk,
    copy: Chunk,
    _dirs: [TempDir; 2],
}

impl Pair {
    async fn start() -> Self {
        let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
        Self::start_with(&master, &[master.address.to_string()]).await
    }

    /// With these masters to ask, of which `master` takes nodes in.
    async fn start_with(master: &FakeMaster, masters: &[String]) -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let mut first = TestNode::start_as(config(dirs[0].path(), masters), master).await;
        let mut second = TestNode::start_as(config(dirs[1].path(), masters), master).await;
        first.admit(SESSION).await.unwrap();
        second.admit(SESSION).await.unwrap();
        let chunk = Chunk::new(1);
        let mut copy = Chunk::new(1);
        copy.target = chunk.target;
        copy.target.chunk_index = 5;
        Self { first, second, chunk, copy, _dirs: dirs }
    }

    /// A cell, and what its copy is.
    fn cell(&mut self, row: u32) -> Frame {
        let bytes = payload(u64::from(row), CELL);
        self.copy.cell(at(0, row), &bytes);
        self.chunk.cell(at(0, row), &bytes)
    }

    fn relay(&self) -> wire::RelayTarget {
        wire::RelayTarget { node: self.second.info.id.clone(), target: Some(self.second.target(&self.copy)) }
    }

    async fn put(&mut self, rows: u32, relay: wire::RelayTarget) -> Result<u64, Status> {
        let first = wire::PutChunkRequest {
            target: Some(self.first.target(&self.chunk)),
            relays: vec![relay],
            ..wire::PutChunkRequest::default()
        };
        let mut messages = vec![first];
        for row in 0..rows {
            let cells = vec![self.cell(row).into_bytes()];
            messages.push(wire::PutChunkRequest { cells, ..wire::PutChunkRequest::default() });
        }
        let response = self.first.chunks.put_chunk(tokio_stream::iter(messages)).await?;
        Ok(response.into_inner().stored_cells)
    }

    async fn assert_copy_is_not_there(&mut self) {
        let refused = self.second.seal(&self.copy, Vec::new()).await.unwrap_err();
        assert!(is(&refused, "SEAL_MISMATCH"), "{refused}");
    }
}

#[tokio::test]
async fn a_stream_is_stored_here_and_at_the_copy() {
    let mut pair = Pair::start().await;
    let relay = pair.relay();
    assert_eq!(pair.put(100, relay).await.unwrap(), 100);
    pair.first.seal(&pair.chunk, Vec::new()).await.unwrap();
    pair.second.seal(&pair.copy, Vec::new()).await.unwrap();
    let cells = pair.second.read(&pair.copy, 0, 100).await.unwrap();
    assert!(cells.iter().eq(pair.copy.cells.values().map(Frame::bytes)));
}

#[tokio::test]
async fn a_master_that_is_not_elected_and_knows_no_other_is_passed_over() {
    let waiting = FakeMaster::start(Answer::Refuse(Refusal::NotElected { elected: String::new() })).await;
    let elected = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let masters = [&waiting, &elected].map(|master| master.address.to_string());
    let mut pair = Pair::start_with(&elected, &masters).await;
    let relay = pair.relay();
    assert_eq!(pair.put(10, relay).await.unwrap(), 10);
    pair.second.seal(&pair.copy, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn cells_that_come_with_the_seal_are_passed_on_and_the_seal_is_not() {
    let mut pair = Pair::start().await;
    let request = wire::SealBlobRequest {
        cells: (0..3).map(|row| pair.cell(row).into_bytes()).collect(),
        target: Some(pair.first.target(&pair.chunk)),
        expected: Some(expected(&pair.chunk)),
        relays: vec![pair.relay()],
    };
    pair.first.chunks.seal_blob(request).await.unwrap();
    let stats = pair.second.stats().await.unwrap();
    assert_eq!((stats.sealed_chunks, stats.open_segments), (0, 1));
    pair.second.seal(&pair.copy, Vec::new()).await.unwrap();
}

#[tokio::test]
async fn a_copy_that_cannot_be_reached_costs_the_writer_nothing_here() {
    let mut pair = Pair::start().await;
    let target = pair.relay().target;
    let unknown = wire::RelayTarget { node: NodeId::generate().to_wire(), target };
    assert_eq!(pair.put(20, unknown).await.unwrap(), 20);
    pair.first.seal(&pair.chunk, Vec::new()).await.unwrap();
    pair.assert_copy_is_not_there().await;
}

#[tokio::test]
async fn a_copy_of_another_life_of_data_or_process_is_left_behind() {
    for another in ["incarnation", "boot"] {
        let mut pair = Pair::start().await;
        let mut relay = pair.relay();
        let target = relay.target.as_mut().unwrap();
        match another {
            "incarnation" => target.incarnation = IncarnationId::generate().to_wire(),
            _ => target.boot = BootId::generate().to_wire(),
        }
        assert_eq!(pair.put(20, relay).await.unwrap(), 20, "{another}");
        pair.first.seal(&pair.chunk, Vec::new()).await.unwrap();
        pair.assert_copy_is_not_there().await;
    }
}

#[tokio::test]
async fn what_no_correct_client_asks_to_be_passed_on_is_refused() {
    let mut pair = Pair::start().await;
    let to_itself = wire::RelayTarget { node: pair.first.info.id.clone(), ..pair.relay() };
    let refused = pair.put(1, to_itself).await.unwrap_err();
    assert!(is(&refused, "INVALID_REQUEST"), "{refused}");
}
