use std::io::{Read, Write};
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::{CONNECTIONS_BESIDE_RAFT, HANDED_OVER_LIMIT, RunError, kept_here, serve, transport};

/// Far longer than anything here takes, and far shorter than the test runner waits.
const PATIENCE: Duration = Duration::from_secs(30);
/// How a client begins: the preface of HTTP/2, and settings that change nothing.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const FRAME_HEADER_BYTES: usize = 9;
const SETTINGS: u8 = 4;
const ACKNOWLEDGED: u8 = 1;

fn payload_bytes(header: &[u8; FRAME_HEADER_BYTES]) -> usize {
    usize::from(header[0]) << 16 | usize::from(header[1]) << 8 | usize::from(header[2])
}

struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
}

async fn start() -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let task = tokio::spawn(serve(Routes::default(), listener, stop.clone()));
    Serving { address, stop, task }
}

/// A connection that the server has taken: it has sent its settings.
async fn greeted(address: SocketAddr) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    let mut header = [0; FRAME_HEADER_BYTES];
    socket.read_exact(&mut header).await.unwrap();
    socket.read_exact(&mut vec![0; payload_bytes(&header)]).await.unwrap();
    socket
}

#[tokio::test]
async fn connections_are_kept_while_there_are_places_and_handed_over_otherwise() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (handed_over, mut others) = mpsc::channel(HANDED_OVER_LIMIT);
    let mut here = pin!(kept_here(transport::tcp_incoming(listener), handed_over));
    let (mut clients, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..CONNECTIONS_BESIDE_RAFT {
        clients.push(TcpStream::connect(address).await.unwrap());
        kept.push(here.next().await.unwrap().unwrap());
    }
    let client = TcpStream::connect(address).await.unwrap();
    let other = tokio::select! {
        _ = here.next() => panic!("there is no place for it"),
        other = others.recv() => other.unwrap(),
    };
    assert_eq!(other.peer_addr().unwrap(), client.local_addr().unwrap());
    kept.pop();
    clients.push(TcpStream::connect(address).await.unwrap());
    kept.push(here.next().await.unwrap().unwrap());
    drop(others);
    clients.push(TcpStream::connect(address).await.unwrap());
    assert!(here.next().await.is_none(), "nobody takes what there is no place for");
}

#[tokio::test]
async fn a_connection_beyond_the_places_is_served_while_this_thread_does_something_else() {
    let serving = start().await;
    let mut sockets = Vec::new();
    for _ in 0..=CONNECTIONS_BESIDE_RAFT {
        sockets.push(greeted(serving.address).await);
    }
    let mut other = sockets.pop().unwrap().into_std().unwrap();
    other.set_nonblocking(false).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    // From here on this thread waits in calls of the system.
    other.write_all(PREFACE).unwrap();
    let mut header = [0; FRAME_HEADER_BYTES];
    while (header[3], header[4]) != (SETTINGS, ACKNOWLEDGED) {
        other.read_exact(&mut header).unwrap();
        other.read_exact(&mut vec![0; payload_bytes(&header)]).unwrap();
    }
    serving.stop.cancel();
    timeout(PATIENCE, serving.task).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test]
async fn silent_peers_of_both_threads_do_not_hold_a_stop_up() {
    let serving = start().await;
    let mut sockets = Vec::new();
    for _ in 0..2 * CONNECTIONS_BESIDE_RAFT {
        sockets.push(greeted(serving.address).await);
    }
    serving.stop.cancel();
    timeout(PATIENCE, serving.task).await.expect("it stops").unwrap().unwrap();
    drop(sockets);
}
