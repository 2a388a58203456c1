//! Chunks made from others of their segment.

use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_codec::{Coder, Layout};
use cairn_node::store::Target;
use cairn_proto::ids::{ClusterId, SegmentId, TransactionId};
use cairn_proto::wire;
use tempfile::TempDir;
use tonic::Status;

use super::cluster::{Answer, FakeMaster, TestNode, expected, is};
use crate::fixtures::{Chunk, SESSION, at, payload};

/// More than one piece of rows is read at a time.
const FULL_ROWS: u64 = 700;
/// The last row has one data cell.
const LAST_ROW_BYTES: usize = 100;

fn layout() -> Layout {
    Layout::new(2, 2, 4096, 1 << 20).unwrap()
}

/// A segment of layout 2+2 on four nodes, and a fifth.
pub(super) struct Cluster {
    pub(super) dirs: Vec<TempDir>,
    pub(super) nodes: Vec<TestNode>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) master: FakeMaster,
    segment: SegmentId,
    layout: Layout,
    full_rows: u64,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_with(layout(), FULL_ROWS).await
    }

    pub(super) async fn start_with(layout: Layout, full_rows: u64) -> Self {
        let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
        let (mut dirs, mut nodes) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let dir = tempfile::tempdir().unwrap();
            nodes.push(TestNode::start_with(dir.path(), &master).await);
            dirs.push(dir);
        }
        let segment = SegmentId::generate();
        let mut chunks = encoded(segment, layout, full_rows);
        for (node, chunk) in nodes.iter_mut().zip(&mut chunks) {
            node.admit(SESSION).await.unwrap();
            let frames = chunk.cells.values().cloned().collect();
            node.put(chunk, frames).await.unwrap();
            node.seal(chunk, Vec::new()).await.unwrap();
        }
        Self { dirs, nodes, chunks, master, segment, layout, full_rows }
    }

    /// The order to make a chunk on the fifth node from all others.
    pub(super) fn request(&self, chunk: usize) -> wire::RebuildChunkRequest {
        let others = (0..4).filter(|other| *other != chunk);
        let record = |(index, chunk): (usize, &Chunk)| wire::Chunk {
            node: self.nodes[index].info.id.clone(),
            incarnation: self.nodes[index].info.incarnation.clone(),
            ..expected(chunk)
        };
        wire::RebuildChunkRequest {
            order: Some(self.nodes[4].order()),
            segment: Some(wire::Segment {
                id: self.segment.to_wire(),
                layout: Some(wire::Layout {
                    data: 2,
                    code: 2,
                    cell_size_bytes: u32::try_from(self.layout.cell_size_bytes()).unwrap(),
                    stripe_size_bytes: 1 << 20,
                }),
                length_bytes: self.full_rows * self.layout.row_size_bytes() as u64 + LAST_ROW_BYTES as u64,
                chunks: self.chunks.iter().enumerate().map(record).collect(),
                uses: 1,
                version: 1,
                transaction: Some(self.chunks[0].target.transaction.into()),
                ..wire::Segment::default()
            }),
            chunk_index: u32::try_from(chunk).unwrap(),
            sources: others.map(|other| self.source(other)).collect(),
            bytes_per_second: 0,
            in_place: false,
        }
    }

    fn source(&self, chunk: usize) -> wire::RebuildSource {
        wire::RebuildSource {
            chunk_index: u32::try_from(chunk).unwrap(),
            address: self.nodes[chunk].address.to_string(),
        }
    }

    async fn rebuild(&mut self, request: wire::RebuildChunkRequest) -> Result<wire::Chunk, Status> {
        self.ordered(4, request).await
    }

    /// What a node answers to an order.
    pub(super) async fn ordered(
        &mut self,
        node: usize,
        request: wire::RebuildChunkRequest,
    ) -> Result<wire::Chunk, Status> {
        let mut answers = self.nodes[node].control.rebuild_chunk(request).await?.into_inner();
        while let Some(answer) = answers.message().await? {
            if let Some(chunk) = answer.chunk {
                return Ok(chunk);
            }
        }
        panic!("the answer ended without a chunk");
    }

    /// The chunk that was made, and how much was read for it.
    async fn rebuild_reading(&mut self, request: wire::RebuildChunkRequest) -> (wire::Chunk, u64) {
        let mut answers = self.nodes[4].control.rebuild_chunk(request).await.unwrap().into_inner();
        while let Some(answer) = answers.message().await.unwrap() {
            if let Some(chunk) = answer.chunk {
                return (chunk, answer.read_bytes);
            }
        }
        panic!("the answer ended without a chunk");
    }

    async fn forget(&mut self) {
        self.forget_as_of(1).await;
    }

    /// Deletes the segment on the order of the state at a log index.
    async fn forget_as_of(&mut self, record_version: u64) {
        let order = Some(wire::Order { record_version, ..self.nodes[4].order() });
        let segments = vec![self.segment.to_wire()];
        self.nodes[4].control.delete_blob(wire::DeleteBlobRequest { order, segments }).await.unwrap();
    }

    async fn assert_nothing_left(&mut self) {
        let stats = self.nodes[4].stats().await.unwrap();
        assert_eq!((stats.sealed_chunks, stats.open_segments), (0, 0));
    }
}

/// The four chunks of a segment.
fn encoded(segment: SegmentId, layout: Layout, full_rows: u64) -> Vec<Chunk> {
    let coder = Coder::new(layout);
    let transaction = TransactionId { session: SESSION, sequence: 1 };
    let target = |index: u8| Target { segment, transaction, chunk_index: index };
    let mut chunks: Vec<Chunk> = (0..4).map(|index| Chunk { target: target(index), cells: BTreeMap::new() }).collect();
    for row in 0..=full_rows {
        let length = if row < full_rows { layout.row_size_bytes() } else { LAST_ROW_BYTES };
        let bytes = payload(row, length);
        let data: Vec<&[u8]> = bytes.chunks(layout.cell_size_bytes()).collect();
        let mut code = vec![vec![0; data[0].len()]; 2];
        coder.encode(&data, &mut code.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let position = layout.position(row);
        let position = at(position.stripe, position.row);
        let code = code.iter().map(Vec::as_slice).enumerate().map(|(index, cell)| (2 + index, cell));
        for (index, cell) in data.iter().copied().enumerate().chain(code) {
            chunks[index].cell(position, cell);
        }
    }
    chunks
}

#[tokio::test]
async fn every_chunk_is_made_from_the_others_exactly_as_it_was() {
    let mut cluster = Cluster::start().await;
    for chunk in 0..4 {
        let made = cluster.rebuild(cluster.request(chunk)).await.unwrap();
        let (node, wanted) = (&cluster.nodes[4].info, expected(&cluster.chunks[chunk]));
        let place = (node.id.clone(), node.incarnation.clone());
        assert_eq!(made, wire::Chunk { node: place.0, incarnation: place.1, ..wanted });
        let again = cluster.rebuild(cluster.request(chunk)).await.unwrap();
        assert_eq!(again, made, "it is there already");
        let read = cluster.nodes[4].read(&cluster.chunks[chunk], 0, 128).await.unwrap();
        let written: Vec<Bytes> =
            cluster.chunks[chunk].cells.values().take(128).map(|cell| cell.bytes().clone()).collect();
        assert_eq!(read, written);
        // Another chunk of the segment may come here once this one was ordered away.
        cluster.forget().await;
    }
}

#[tokio::test]
async fn a_source_that_fails_is_done_without() {
    let mut cluster = Cluster::start().await;
    let request = cluster.request(0);
    let mut dead = request.clone();
    dead.sources[0].address = "127.0.0.1:1".to_owned();
    cluster.rebuild(dead).await.unwrap();
    cluster.forget().await;
    // The record knows another digest than the node has.
    let mut stale = request;
    stale.segment.as_mut().unwrap().chunks[2].digest = vec![7; 32].into();
    cluster.rebuild(stale).await.unwrap();
}

#[tokio::test]
async fn with_too_few_sources_nothing_is_made_and_it_can_be_tried_again() {
    let mut cluster = Cluster::start().await;
    let request = cluster.request(3);
    let mut few = request.clone();
    few.sources.truncate(1);
    let status = cluster.rebuild(few).await.unwrap_err();
    assert!(is(&status, "REBUILD_FAILED"), "{status}");
    let mut broken = request.clone();
    broken.sources[0].address = "127.0.0.1:1".to_owned();
    broken.sources.truncate(2);
    let status = cluster.rebuild(broken).await.unwrap_err();
    assert!(is(&status, "REBUILD_FAILED"), "{status}");
    cluster.assert_nothing_left().await;
    cluster.rebuild(request).await.unwrap();
}

#[tokio::test]
async fn a_chunk_that_is_moved_is_read_once_and_made_from_others_only_if_that_fails() {
    let mut cluster = Cluster::start().await;
    let mut request = cluster.request(1);
    request.sources.insert(0, cluster.source(1));
    let length_bytes = expected(&cluster.chunks[1]).length_bytes;
    let (made, read_bytes) = cluster.rebuild_reading(request.clone()).await;
    assert_eq!((made.digest, read_bytes), (expected(&cluster.chunks[1]).digest, length_bytes));
    cluster.forget().await;
    let mut alone = request.clone();
    alone.sources.truncate(1);
    assert_eq!(cluster.rebuild_reading(alone).await.1, length_bytes, "no others are needed");
    cluster.forget().await;
    request.sources[0].address = "127.0.0.1:1".to_owned();
    assert!(cluster.rebuild_reading(request).await.1 > length_bytes);
}

#[tokio::test]
async fn what_is_not_as_recorded_is_not_kept() {
    let mut cluster = Cluster::start().await;
    let mut request = cluster.request(1);
    request.segment.as_mut().unwrap().chunks[1].digest = vec![7; 32].into();
    let status = cluster.rebuild(request).await.unwrap_err();
    assert!(is(&status, "SEAL_MISMATCH"), "{status}");
    cluster.assert_nothing_left().await;
}

#[tokio::test]
async fn hostile_orders_are_refused() {
    let mut cluster = Cluster::start().await;
    let request = cluster.request(1);
    let hostile = |change: &dyn Fn(&mut wire::RebuildChunkRequest)| {
        let mut request = request.clone();
        change(&mut request);
        request
    };
    let orders = [
        hostile(&|request| request.chunk_index = 4),
        hostile(&|request| request.chunk_index = 300),
        hostile(&|request| request.segment = None),
        hostile(&|request| request.sources[..2].iter_mut().for_each(|source| source.chunk_index = 1)),
        hostile(&|request| request.sources[0].chunk_index = 9),
        hostile(&|request| request.sources[0].address = "no address".to_owned()),
        hostile(&|request| request.segment.as_mut().unwrap().chunks[1].cells = 0),
        hostile(&|request| request.segment.as_mut().unwrap().length_bytes = u64::MAX),
    ];
    for order in orders {
        let status = cluster.rebuild(order).await.unwrap_err();
        assert!(is(&status, "INVALID_REQUEST"), "{status}");
    }
    let mut stale = request;
    stale.order.as_mut().unwrap().cluster_epoch = 0;
    assert!(cluster.rebuild(stale).await.is_err());
    cluster.assert_nothing_left().await;
}

#[tokio::test]
async fn a_deletion_that_was_on_its_way_for_long_leaves_what_was_rebuilt_since() {
    let mut cluster = Cluster::start().await;
    let ordered_at = |request: wire::RebuildChunkRequest, record_version| wire::RebuildChunkRequest {
        order: request.order.map(|order| wire::Order { record_version, ..order }),
        ..request
    };
    let made = cluster.rebuild(ordered_at(cluster.request(1), 9)).await.unwrap();
    cluster.forget_as_of(8).await;
    // The next master may order it once more, on a later state; what is there is as old as it is.
    assert_eq!(cluster.rebuild(ordered_at(cluster.request(1), 12)).await.unwrap(), made);
    cluster.forget_as_of(8).await;
    assert_eq!(cluster.nodes[4].stats().await.unwrap().sealed_chunks, 1);
    cluster.forget_as_of(10).await;
    cluster.assert_nothing_left().await;
}
