use std::fmt::Debug;

use tonic::transport::{Channel, Endpoint};

/// How connections to an endpoint are made. Only connecting goes through it: what is sent then does not.
pub trait Connector: Debug + Send + Sync {
    /// A channel that connects at its first request, and again when the connection breaks.
    fn connect(&self, endpoint: &Endpoint) -> Channel;
}

/// Over TCP, as every daemon and client does.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, endpoint: &Endpoint) -> Channel {
        endpoint.connect_lazy()
    }
}
