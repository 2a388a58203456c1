#[cfg(test)]
mod tests;

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, RecvStream};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{sleep, timeout};
use tonic::ConnectError;
use tonic::codegen::Service;

use super::endpoint::{CONNECT_DEADLINE, endpoint};
use super::{
    ByteStream, CONNECTION_WINDOW_BYTES, Connector, FRAME_BYTES, InvalidAddress, Liveness, STREAM_WINDOW_BYTES,
};

type AnyError = Box<dyn Error + Send + Sync>;

/// A connection to one peer, for requests of one message: head and message leave together, from the task that asks.
/// (A tonic channel passes each request through three tasks of its own, and sends the head by itself.) It is made at the
/// first request and made again when it breaks. Clones share it.
#[derive(Clone)]
pub struct DirectChannel {
    shared: Arc<Shared>,
}

struct Shared {
    peer: Authority,
    connector: Arc<dyn Connector>,
    liveness: Liveness,
    sender: Mutex<Option<SendRequest<Bytes>>>,
    /// Held by whoever connects.
    connecting: AsyncMutex<()>,
}

impl DirectChannel {
    /// To `address` (`host:port`).
    pub fn new(connector: Arc<dyn Connector>, address: &str, liveness: Liveness) -> Result<Self, InvalidAddress> {
        let endpoint = endpoint(address, liveness)?;
        let peer = endpoint.uri().authority().expect("an endpoint has an address").clone();
        let (sender, connecting) = (Mutex::new(None), AsyncMutex::new(()));
        Ok(Self { shared: Arc::new(Shared { peer, connector, liveness, sender, connecting }) })
    }
}

impl fmt::Debug for DirectChannel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("DirectChannel").field(&self.shared.peer).finish()
    }
}

impl Service<Request<tonic::body::Body>> for DirectChannel {
    type Response = Response<ReceivedBody>;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<tonic::body::Body>) -> Self::Future {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.send(request).await })
    }
}

impl Shared {
    async fn send(&self, request: Request<tonic::body::Body>) -> Result<Response<ReceivedBody>, AnyError> {
        let (mut head, body) = request.into_parts();
        let message = body.collect().await?.to_bytes();
        let mut uri = head.uri.into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.peer.clone());
        head.uri = Uri::from_parts(uri)?;
        let mut sender = self.sender().await?;
        let sent = sender.send_request(Request::from_parts(head, ()), false);
        // A connection that takes no more requests is no use to the next one either.
        let (response, mut stream) = sent.inspect_err(|_| drop(self.sender.lock().take()))?;
        stream.send_data(message, true)?;
        Ok(response.await?.map(ReceivedBody))
    }

    /// Of the connection there is, or of a new one.
    async fn sender(&self) -> Result<SendRequest<Bytes>, ConnectError> {
        if let Some(live) = self.live_sender().await {
            return Ok(live);
        }
        let _only_one = self.connecting.lock().await;
        if let Some(live) = self.live_sender().await {
            return Ok(live);
        }
        let connected = match timeout(CONNECT_DEADLINE, self.connect()).await {
            Ok(connected) => connected,
            Err(late) => Err(late.into()),
        };
        let (sender, connection) = connected.map_err(ConnectError)?;
        tokio::spawn(keep(connection, self.liveness));
        *self.sender.lock() = Some(sender.clone());
        Ok(sender)
    }

    async fn live_sender(&self) -> Option<SendRequest<Bytes>> {
        let sender = self.sender.lock().clone()?;
        sender.ready().await.ok()
    }

    async fn connect(&self) -> Result<(SendRequest<Bytes>, Connection<Box<dyn ByteStream>, Bytes>), AnyError> {
        let stream = self.connector.dial(self.peer.as_str()).await?;
        let handshake = Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_frame_size(FRAME_BYTES)
            .enable_push(false)
            .handshake(stream);
        Ok(handshake.await?)
    }
}

/// Moves the bytes of a connection until it ends or its peer does not answer a probe. What is under way on it then fails.
async fn keep(mut connection: Connection<Box<dyn ByteStream>, Bytes>, liveness: Liveness) {
    let mut probes = connection.ping_pong().expect("it is asked for once");
    let silence = async {
        loop {
            sleep(liveness.interval()).await;
            match timeout(liveness.deadline(), probes.ping(Ping::opaque())).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => break error.to_string(),
                Err(late) => break late.to_string(),
            }
        }
    };
    tokio::select! {
        biased;
        ended = connection => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke");
            }
        }
        why = silence => tracing::debug!(why, "a peer does not answer probes"),
    }
}

/// What a peer answers.
#[derive(Debug)]
pub struct ReceivedBody(RecvStream);

impl Body for ReceivedBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.0;
        match std::task::ready!(stream.poll_data(context)) {
            Some(Ok(bytes)) => {
                // Whoever reads has it: the peer may send as much again.
                stream.flow_control().release_capacity(bytes.len())?;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                stream.poll_trailers(context).map(|trailers| trailers.transpose().map(|got| got.map(Frame::trailers)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
