use std::time::{Duration, Instant};

use bytes::Bytes;
use bytesize::ByteSize;
use cairn_node::Config;
use cairn_proto::ids::ClusterId;
use cairn_proto::wire;
use wire::get_chunk_request::Version;

use super::cluster::{Answer, FakeMaster, TestNode, config, is};
use crate::fixtures::{Chunk, SESSION, at, payload};

/// Eight million bytes in cells of a hundred thousand, half of which are more than is free at once.
const CELLS_OF_A_LONG_READ: u32 = 80;

#[tokio::test]
async fn ranges_are_answered_in_the_order_asked() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    let chunk = node.sealed_chunk(10).await;
    let request = wire::GetChunkRequest {
        segment: chunk.target.segment.to_wire(),
        chunk_index: 1,
        ranges: [(7, 2), (0, 1)].map(|(first_row, rows)| wire::CellRange { stripe: 0, first_row, rows }).to_vec(),
        version: Some(Version::Digest(Bytes::copy_from_slice(chunk.tally().digest.as_bytes()))),
        background: false,
    };
    let mut stream = node.chunks.get_chunk(request).await.unwrap().into_inner();
    let cells = stream.message().await.unwrap().unwrap().cells;
    let rows: Vec<u32> = cells.into_iter().map(|cell| cairn_codec::Frame::parse(cell).unwrap().id().row).collect();
    assert_eq!(rows, [7, 8, 0]);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn another_digest_is_stale_and_a_row_that_is_not_there_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    let chunk = node.sealed_chunk(3).await;
    let stale = Version::Digest(Bytes::from_static(&[7; 32]));
    let status = node.read_version(&chunk, 0, 1, stale).await.unwrap_err();
    assert!(is(&status, "CHUNK_STALE"), "{status}");
    let status = node.read(&chunk, 2, 2).await.unwrap_err();
    assert!(is(&status, "CHUNK_NOT_FOUND"), "{status}");
    node.stop().await.unwrap();
}

#[tokio::test]
async fn hostile_reads_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    let chunk = node.sealed_chunk(1).await;
    let short = Version::Digest(Bytes::from_static(&[7; 31]));
    let status = node.read_version(&chunk, 0, 1, short).await.unwrap_err();
    assert!(is(&status, "INVALID_REQUEST"), "{status}");
    for (first_row, rows) in [(0, 0), (u32::MAX, 2), (0, u32::MAX)] {
        let status = node.read(&chunk, first_row, rows).await.unwrap_err();
        assert!(is(&status, "INVALID_REQUEST"), "{status}");
    }
    node.stop().await.unwrap();
}

#[tokio::test]
async fn what_nobody_waits_for_is_read_at_the_rate_of_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
    let slow = Config { background_bandwidth: ByteSize::mib(16), ..config(dir.path(), &[master.address.to_string()]) };
    let mut node = TestNode::start_as(slow, &master).await;
    node.admit(SESSION).await.unwrap();
    let mut chunk = Chunk::new(1);
    let cell = |row| chunk.cell(at(0, row), &payload(u64::from(row), 100_000));
    let frames = (0..CELLS_OF_A_LONG_READ).map(cell).collect();
    node.seal(&chunk, frames).await.unwrap();
    let request = |background| wire::GetChunkRequest {
        segment: chunk.target.segment.to_wire(),
        chunk_index: 1,
        ranges: vec![wire::CellRange { stripe: 0, first_row: 0, rows: CELLS_OF_A_LONG_READ }],
        version: Some(Version::Digest(Bytes::copy_from_slice(chunk.tally().digest.as_bytes()))),
        background,
    };
    let bytes: u64 = chunk.cells.values().map(|frame| frame.bytes().len() as u64).sum();
    let begun = Instant::now();
    let mut stream = node.chunks.get_chunk(request(true)).await.unwrap().into_inner();
    let mut read = 0;
    while let Some(message) = stream.message().await.unwrap() {
        read += message.cells.len();
    }
    assert_eq!(read, CELLS_OF_A_LONG_READ as usize);
    // A quarter of a second's worth is free.
    let least = Duration::from_millis((bytes.saturating_sub(4 << 20)) * 1000 / (16 << 20));
    assert!(begun.elapsed() >= least, "{:?} for {bytes} bytes", begun.elapsed());
    node.stop().await.unwrap();
}
