use std::time::Duration;

use bytes::Bytes;
use cairn_proto::Refusal;
use cairn_proto::ids::{BootId, ClusterId, IncarnationId, SegmentId};
use cairn_proto::wire;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use wire::get_chunk_request::Version;

use super::cluster::{Answer, FakeMaster, TestNode, expected, is, refusal};
use crate::fixtures::{Chunk, SESSION, at, payload};

const CELL: usize = 64 << 10;

#[tokio::test]
async fn cells_travel_in_a_stream_are_sealed_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    node.admit(SESSION).await.unwrap();
    let mut chunk = Chunk::new(1);
    let frames: Vec<_> = (0..200).map(|row| chunk.cell(at(0, row), &payload(u64::from(row), CELL))).collect();
    assert_eq!(node.put(&chunk, frames).await.unwrap(), 200);
    let sealed = node.seal(&chunk, Vec::new()).await.unwrap();
    assert_eq!(
        (sealed.node.clone(), sealed.incarnation.clone()),
        (node.info.id.clone(), node.info.incarnation.clone())
    );
    assert_eq!((sealed.cells, sealed.length_bytes), (200, 200 * CELL as u64));
    assert_eq!(node.seal(&chunk, Vec::new()).await.unwrap(), sealed);
    let cells = node.read(&chunk, 0, 200).await.unwrap();
    assert!(cells.iter().eq(chunk.cells.values().map(cairn_codec::Frame::bytes)));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_seal_repeated_after_a_restart_answers_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let mut node = TestNode::start_with(dir.path(), &master).await;
    let chunk = node.sealed_chunk(2).await;
    let first = node.seal(&chunk, Vec::new()).await.unwrap();
    let old_boot = node.info.boot.clone();
    node.stop().await.unwrap();
    let mut node = TestNode::start_with(dir.path(), &master).await;
    let target = wire::ChunkTarget { boot: old_boot, ..node.target(&chunk) };
    let request = wire::SealBlobRequest {
        target: Some(target),
        cells: Vec::new(),
        expected: Some(expected(&chunk)),
        relays: Vec::new(),
    };
    let again = node.chunks.seal_blob(request).await.unwrap().into_inner().chunk.unwrap();
    assert_eq!(again, first);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn unsealed_cells_do_not_outlive_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let mut node = TestNode::start_with(dir.path(), &master).await;
    node.admit(SESSION).await.unwrap();
    let mut chunk = Chunk::new(1);
    let frame = chunk.cell(at(0, 0), b"cell");
    node.put(&chunk, vec![frame]).await.unwrap();
    let old_target = node.target(&chunk);
    node.stop().await.unwrap();
    let mut node = TestNode::start_with(dir.path(), &master).await;
    let request = wire::SealBlobRequest {
        target: Some(old_target),
        cells: Vec::new(),
        expected: Some(expected(&chunk)),
        relays: Vec::new(),
    };
    let status = node.chunks.seal_blob(request).await.unwrap_err();
    assert!(is(&status, "WRONG_BOOT"), "{status}");
    node.admit(SESSION).await.unwrap();
    let status = node.seal(&chunk, Vec::new()).await.unwrap_err();
    assert!(is(&status, "SEAL_MISMATCH"), "{status}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_transaction_reads_what_it_has_not_sealed_and_nobody_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    node.admit(SESSION).await.unwrap();
    let mut chunk = Chunk::new(1);
    let frames: Vec<_> = (0..160).map(|row| chunk.cell(at(0, row), &payload(u64::from(row), CELL))).collect();
    node.put(&chunk, frames).await.unwrap();
    let own = node.target(&chunk);
    let cells = node.read_version(&chunk, 100, 60, Version::Unsealed(own.clone())).await.unwrap();
    assert!(cells.iter().eq(chunk.cells.values().skip(100).map(cairn_codec::Frame::bytes)));
    let other = wire::ChunkTarget { transaction: Some(wire::TransactionId { session: SESSION.0, sequence: 2 }), ..own };
    let status = node.read_version(&chunk, 0, 1, Version::Unsealed(other)).await.unwrap_err();
    assert!(is(&status, "INVALID_REQUEST"), "{status}");
    assert!(is(&node.read(&chunk, 0, 1).await.unwrap_err(), "CHUNK_NOT_FOUND"));
    node.stop().await.unwrap();
}

#[tokio::test]
async fn writes_for_another_life_or_by_strangers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    let mut chunk = Chunk::new(1);
    let frame = chunk.cell(at(0, 0), b"cell");
    let status = node.put(&chunk, vec![frame.clone()]).await.unwrap_err();
    assert_eq!(refusal(&status), Refusal::NotAdmitted { session: SESSION.to_string() });
    node.admit(SESSION).await.unwrap();
    let target = node.target(&chunk);
    let cells = vec![frame.into_bytes()];
    let wrong = [
        (wire::ChunkTarget { incarnation: IncarnationId::generate().to_wire(), ..target.clone() }, "WRONG_INCARNATION"),
        (wire::ChunkTarget { boot: BootId::generate().to_wire(), ..target.clone() }, "WRONG_BOOT"),
        (wire::ChunkTarget { segment: SegmentId::generate().to_wire(), ..target.clone() }, "DAMAGED_CELL"),
        (wire::ChunkTarget { chunk_index: 4, ..target.clone() }, "DAMAGED_CELL"),
        (wire::ChunkTarget { chunk_index: 256, ..target.clone() }, "INVALID_REQUEST"),
        (wire::ChunkTarget { segment: Bytes::from_static(b"x"), ..target }, "INVALID_REQUEST"),
    ];
    for (target, reason) in wrong {
        let message = wire::PutChunkRequest { target: Some(target), cells: cells.clone(), relays: Vec::new() };
        let status = node.chunks.put_chunk(tokio_stream::iter([message])).await.unwrap_err();
        assert!(is(&status, reason), "{reason}: {status}");
    }
    assert_eq!(node.stats().await.unwrap().open_segments, 0);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_damaged_cell_is_refused_on_arrival() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    node.admit(SESSION).await.unwrap();
    let mut chunk = Chunk::new(1);
    let mut bytes = chunk.cell(at(0, 0), b"cell").into_bytes().to_vec();
    bytes[34] ^= 4;
    let message =
        wire::PutChunkRequest { target: Some(node.target(&chunk)), cells: vec![bytes.into()], relays: Vec::new() };
    let status = node.chunks.put_chunk(tokio_stream::iter([message])).await.unwrap_err();
    assert!(is(&status, "DAMAGED_CELL"), "{status}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn revoking_a_session_cuts_its_streams_and_drops_its_cells() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    node.admit(SESSION).await.unwrap();
    let mut chunk = Chunk::new(1);
    let (messages, stream) = mpsc::channel(4);
    let cells = vec![chunk.cell(at(0, 0), b"cell").into_bytes()];
    messages
        .send(wire::PutChunkRequest { target: Some(node.target(&chunk)), cells, relays: Vec::new() })
        .await
        .unwrap();
    let mut chunks = node.chunks.clone();
    let put = tokio::spawn(async move { chunks.put_chunk(ReceiverStream::new(stream)).await });
    while node.stats().await.unwrap().open_segments == 0 {
        tokio::task::yield_now().await;
    }
    node.revoke(SESSION).await.unwrap();
    let status = timeout(Duration::from_secs(10), put).await.unwrap().unwrap().unwrap_err();
    assert_eq!(refusal(&status), Refusal::NotAdmitted { session: SESSION.to_string() });
    assert_eq!(node.stats().await.unwrap().open_segments, 0);
    let status = node.admit(SESSION).await.unwrap_err();
    assert!(is(&status, "NOT_ADMITTED"), "{status}");
    assert!(messages.is_closed() || messages.send(wire::PutChunkRequest::default()).await.is_err());
    node.stop().await.unwrap();
}
