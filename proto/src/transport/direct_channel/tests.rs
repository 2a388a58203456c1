use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, async_trait};

use super::DirectChannel;
use crate::transport::{ByteStream, Connector, Dialling, Liveness, server_builder};
use crate::wire;
use crate::wire::key_value_client::KeyValueClient;
use crate::wire::key_value_server::{KeyValue, KeyValueServer};

/// What a connection may hold that nobody reads.
const PIPE_BYTES: usize = 1 << 16;
const STREAMS: u32 = 100;

/// Connects to a server in the same process, and counts.
#[derive(Debug, Clone, Default)]
struct Pipes(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// Where the server gets its ends; none: nobody serves.
    server: Mutex<Option<UnboundedSender<io::Result<DuplexStream>>>>,
    dialled: AtomicUsize,
    writes: Arc<AtomicUsize>,
    /// Ends of connections that nobody serves.
    unserved: Mutex<Vec<DuplexStream>>,
}

impl Connector for Pipes {
    fn connect(&self, _: &Endpoint) -> Channel {
        unreachable!("a direct channel dials")
    }

    fn dial(&self, _: &str) -> Dialling {
        self.0.dialled.fetch_add(1, Ordering::Relaxed);
        let (here, there) = duplex(PIPE_BYTES);
        let stream = Counted { stream: here, writes: self.0.writes.clone() };
        let sent = if let Some(server) = &*self.0.server.lock() {
            server.send(Ok(there)).is_ok()
        } else {
            self.0.unserved.lock().push(there);
            true
        };
        Box::pin(async move {
            if sent {
                Ok(Box::new(stream) as Box<dyn ByteStream>)
            } else {
                Err(io::ErrorKind::ConnectionRefused.into())
            }
        })
    }
}

impl Pipes {
    /// With a server.
    fn served() -> Self {
        let pipes = Self::default();
        pipes.serve_on(&Handle::current());
        pipes
    }

    /// From now on a new server takes the connections.
    fn serve_on(&self, runtime: &Handle) {
        let (sender, ends) = unbounded_channel();
        *self.0.server.lock() = Some(sender);
        let serving = server_builder(STREAMS)
            .add_service(KeyValueServer::new(Echo))
            .serve_with_incoming(UnboundedReceiverStream::new(ends));
        runtime.spawn(async move { serving.await.expect("the server ends well") });
    }

    fn client(&self) -> KeyValueClient<DirectChannel> {
        let channel = DirectChannel::new(Arc::new(self.clone()), "peer:1", Liveness::USUAL).unwrap();
        KeyValueClient::new(channel)
    }

    fn dialled(&self) -> usize {
        self.0.dialled.load(Ordering::Relaxed)
    }

    fn writes(&self) -> usize {
        self.0.writes.load(Ordering::Relaxed)
    }
}

/// Counts the writes of the client's end.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Answers with the key, refuses to put, and never ends appending.
struct Echo;

#[async_trait]
impl KeyValue for Echo {
    async fn get(&self, request: Request<wire::GetValueRequest>) -> Result<Response<wire::GetValueResponse>, Status> {
        let value = request.into_inner().key.into_bytes().into();
        Ok(Response::new(wire::GetValueResponse { value: Some(value), applied_index: 0 }))
    }

    async fn put(&self, _: Request<wire::PutValueRequest>) -> Result<Response<wire::PutValueResponse>, Status> {
        Err(Status::already_exists("refused"))
    }

    async fn append(
        &self,
        _: Request<wire::AppendValueRequest>,
    ) -> Result<Response<wire::AppendValueResponse>, Status> {
        std::future::pending().await
    }
}

fn get(key: &str) -> wire::GetValueRequest {
    wire::GetValueRequest { key: key.to_owned() }
}

#[tokio::test]
async fn requests_are_answered_over_one_connection() {
    let pipes = Pipes::served();
    let client = pipes.client();
    let long = "x".repeat(4 * PIPE_BYTES);
    let asked: Vec<_> = ["a", "b", &long]
        .map(|key| {
            let (mut client, request) = (client.clone(), get(key));
            tokio::spawn(async move { client.get(request).await.unwrap().into_inner().value.unwrap() })
        })
        .into_iter()
        .collect();
    let mut answers = Vec::new();
    for answer in asked {
        answers.push(answer.await.unwrap());
    }
    assert_eq!(answers, ["a".as_bytes(), b"b", long.as_bytes()]);
    assert_eq!(pipes.dialled(), 1);
    let refused = pipes.client().put(wire::PutValueRequest::default()).await.unwrap_err();
    assert_eq!(refused.message(), "refused");
}

#[tokio::test]
async fn head_and_message_leave_in_one_write() {
    let pipes = Pipes::served();
    let mut client = pipes.client();
    // What two peers have to tell each other at first is told by then.
    for _ in 0..3 {
        client.get(get("key")).await.unwrap();
    }
    let before = pipes.writes();
    client.get(get("key")).await.unwrap();
    assert_eq!(pipes.writes(), before + 1);
}

#[tokio::test]
async fn a_connection_that_broke_fails_what_is_under_way_and_is_made_again() {
    let pipes = Pipes::default();
    let server = Runtime::new().unwrap();
    pipes.serve_on(server.handle());
    let mut client = pipes.client();
    client.get(get("key")).await.unwrap();
    let mut waiting = client.clone();
    let append = tokio::spawn(async move { waiting.append(wire::AppendValueRequest::default()).await });
    tokio::task::yield_now().await;
    // Its connections end with it.
    server.shutdown_background();
    pipes.serve_on(&Handle::current());
    append.await.unwrap().unwrap_err();
    client.get(get("key")).await.unwrap();
    assert_eq!(pipes.dialled(), 2);
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_told_from_one_that_broke() {
    let pipes = Pipes::default();
    let (closed, _) = unbounded_channel();
    *pipes.0.server.lock() = Some(closed);
    let status = pipes.client().get(get("key")).await.unwrap_err();
    let source = std::error::Error::source(&status).expect("it has a cause");
    assert!(source.is::<tonic::ConnectError>(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up_after_a_probe() {
    let pipes = Pipes::default();
    let started = Instant::now();
    pipes.client().get(get("key")).await.unwrap_err();
    let limit = Liveness::USUAL.interval() + Liveness::USUAL.deadline();
    assert!((limit..limit + Duration::from_secs(1)).contains(&started.elapsed()), "{:?}", started.elapsed());
}
