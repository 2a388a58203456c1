use std::error::Error;
use std::time::Duration;

use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::ClientError;

/// A peer that does not accept a connection in this time is taken for dead.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often a silent connection is probed.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a probe may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes that a peer may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes that a peer may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Largest HTTP/2 frame that is accepted: a whole cell or a batch fits in one.
const FRAME_BYTES: u32 = 1 << 20;

/// A connection that is made at the first request and made again when it breaks.
pub(super) fn channel(address: &str) -> Result<Channel, ClientError> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|error| ClientError::protocol(address, format!("not an address: {error}")))?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .connect_lazy())
}

/// Whether the call failed before anything was sent.
pub(super) fn never_sent(status: &Status) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A failed call in one line: tonic's own message leaves the causes out.
pub(super) fn describe(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    if text.is_empty() { status.code().to_string() } else { text }
}
