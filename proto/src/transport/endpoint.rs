use std::time::Duration;

use tonic::transport::{Channel, Endpoint};

use super::{CONNECTION_WINDOW_BYTES, Connector, FRAME_BYTES, STREAM_WINDOW_BYTES};

/// A peer that does not accept a connection in this time is taken for dead.
pub(super) const CONNECT_DEADLINE: Duration = Duration::from_millis(500);

/// How a peer is found to be gone that breaks no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    interval: Duration,
    deadline: Duration,
}

impl Liveness {
    /// For clients and nodes, whose requests have deadlines of their own.
    pub const USUAL: Self = Self { interval: Duration::from_secs(10), deadline: Duration::from_secs(5) };
    /// For masters among themselves: a connection that a firewall has forgotten must not outlive many elections.
    pub const MASTERS: Self = Self { interval: Duration::from_secs(2), deadline: Duration::from_secs(2) };

    /// How often a silent connection is probed.
    pub fn interval(self) -> Duration {
        self.interval
    }

    /// How long the answer to a probe may take.
    pub fn deadline(self) -> Duration {
        self.deadline
    }
}

/// An address that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is no address: {source}")]
pub struct InvalidAddress {
    address: String,
    source: tonic::transport::Error,
}

impl InvalidAddress {
    /// What was given as an address.
    pub fn address(&self) -> &str {
        &self.address
    }
}

/// A connection to `address` (`host:port`) that is made at the first request and made again when it breaks.
pub fn channel(connector: &dyn Connector, address: &str, liveness: Liveness) -> Result<Channel, InvalidAddress> {
    endpoint(address, liveness).map(|endpoint| connector.connect(&endpoint))
}

/// What connections to `address` are like.
pub fn endpoint(address: &str, liveness: Liveness) -> Result<Endpoint, InvalidAddress> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|source| InvalidAddress { address: address.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .http2_keep_alive_interval(liveness.interval)
        .keep_alive_timeout(liveness.deadline)
        .keep_alive_while_idle(true))
}

#[cfg(test)]
mod tests {
    use super::{Liveness, endpoint};

    #[test]
    fn an_address_is_a_host_and_a_port() {
        endpoint("127.0.0.1:7400", Liveness::USUAL).unwrap();
        let error = endpoint("no address", Liveness::USUAL).unwrap_err();
        assert!(error.to_string().starts_with("\"no address\" is no address: "), "{error}");
    }
}
