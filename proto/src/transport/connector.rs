use std::fmt::Debug;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};

/// A connection's bytes, both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection being made.
pub type Dialling = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>> + Send>>;

/// How connections to an endpoint are made. Only connecting goes through it: what is sent then does not.
pub trait Connector: Debug + Send + Sync {
    /// A channel that connects at its first request, and again when the connection breaks.
    fn connect(&self, endpoint: &Endpoint) -> Channel;
    /// One connection to `address` (`host:port`).
    fn dial(&self, address: &str) -> Dialling;
}

/// Over TCP, as every daemon and client does.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpConnector;

impl Connector for TcpConnector {
    fn connect(&self, endpoint: &Endpoint) -> Channel {
        endpoint.connect_lazy()
    }

    fn dial(&self, address: &str) -> Dialling {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }
}
