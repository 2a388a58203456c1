use bytes::Bytes;
use cairn_proto::wire;
use wire::get_chunk_request::Version;

use super::cluster::{TestNode, is};

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
