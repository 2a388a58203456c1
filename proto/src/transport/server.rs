use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::StdError;
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Error, Server};

use super::{CONNECTION_WINDOW_BYTES, FRAME_BYTES, Liveness, STREAM_WINDOW_BYTES};

/// A server with the settings that all daemons share. One connection may have `streams_limit` requests under way.
pub fn server_builder(streams_limit: u32) -> Server {
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(streams_limit)
        .http2_keepalive_interval(Some(Liveness::USUAL.interval()))
        .http2_keepalive_timeout(Some(Liveness::USUAL.deadline()))
}

/// The connections that a socket accepts.
pub fn tcp_incoming(listener: TcpListener) -> TcpIncoming {
    // Nagle's algorithm is set here: the server's own setting is ignored for connections handed in.
    TcpIncoming::from(listener).with_nodelay(Some(true))
}

/// Serves all connections that come in until told to stop; see [`drained`].
pub async fn serve<I, IO, IE>(
    routes: Routes,
    streams_limit: u32,
    incoming: I,
    stop: CancellationToken,
    drain_limit: Duration,
) -> Result<(), Error>
where
    I: Stream<Item = Result<IO, IE>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    IE: Into<StdError>,
{
    let until = stop.clone().cancelled_owned();
    let serving = server_builder(streams_limit).add_routes(routes).serve_with_incoming_shutdown(incoming, until);
    drained(serving, &stop, drain_limit).await
}

/// Runs a server that stops gracefully on `stop`, and gives requests under way `drain_limit` from then on: a peer that
/// is connected and says nothing would hold a graceful stop up for ever.
pub async fn drained(
    serving: impl Future<Output = Result<(), Error>>,
    stop: &CancellationToken,
    drain_limit: Duration,
) -> Result<(), Error> {
    let mut serving = pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop.cancelled() => {}
    }
    timeout(drain_limit, serving).await.unwrap_or_else(|_| {
        tracing::info!("requests under way were cut off");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_util::sync::CancellationToken;
    use tonic::service::Routes;

    use super::{serve, tcp_incoming};

    /// Far longer than a stop takes, and far shorter than the test runner waits.
    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_silent_peer_does_not_hold_a_stop_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let drain = Duration::from_millis(50);
        let serving = tokio::spawn(serve(Routes::default(), 8, tcp_incoming(listener), stop.clone(), drain));
        let mut silent = TcpStream::connect(address).await.unwrap();
        // The server's greeting: it has taken the connection.
        silent.read_exact(&mut [0; 9]).await.unwrap();
        stop.cancel();
        tokio::time::timeout(PATIENCE, serving).await.expect("it stops").unwrap().unwrap();
    }
}
