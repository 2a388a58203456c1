use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, wire};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use super::cluster::TestNode;
use crate::fixtures::{Chunk, SESSION, payload};

#[tokio::test]
async fn garbage_on_the_port_leaves_the_node_serving() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    for seed in 0..20 {
        let mut stream = TcpStream::connect(node.address).await.unwrap();
        let preface: &[u8] = if seed % 2 == 0 { b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" } else { b"" };
        let garbage = [preface, &payload(seed, 4_000)].concat();
        // The node may close the connection in the middle.
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    let chunk = node.sealed_chunk(2).await;
    assert_eq!(node.read(&chunk, 0, 2).await.unwrap().len(), 2);
    node.stop().await.unwrap();
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_node_serves_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = TestNode::start(dir.path()).await;
    node.admit(SESSION).await.unwrap();
    let target = Some(node.target(&Chunk::new(1)));
    let cells = vec![vec![0; BULK_MESSAGE_LIMIT_BYTES + 1].into()];
    let message = wire::PutChunkRequest { target, cells, relays: Vec::new() };
    let status = node.chunks.put_chunk(tokio_stream::iter([message])).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    node.sealed_chunk(1).await;
    node.stop().await.unwrap();
}
