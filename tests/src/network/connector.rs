use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use cairn_proto::transport::{ByteStream, Connector, Dialling};
use hyper_util::rt::TokioIo;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Uri};

use super::{Network, Place};

/// Connects over the network in the name of one place.
#[derive(Debug, Clone)]
pub struct NetworkConnector {
    network: Network,
    from: Place,
}

impl NetworkConnector {
    pub(super) fn new(network: Network, from: Place) -> Self {
        Self { network, from }
    }
}

impl Connector for NetworkConnector {
    fn connect(&self, endpoint: &Endpoint) -> Channel {
        endpoint.connect_with_connector_lazy(self.clone())
    }

    fn dial(&self, address: &str) -> Dialling {
        let (dialled, address) = (self.network.dial(self.from, address), address.to_owned());
        Box::pin(async move {
            match dialled {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn ByteStream>),
                Err(refused) => {
                    tokio::time::sleep(refused.after).await;
                    Err(io::Error::new(io::ErrorKind::ConnectionRefused, format!("nobody serves at {address}")))
                }
            }
        })
    }
}

impl Service<Uri> for NetworkConnector {
    type Response = TokioIo<Box<dyn ByteStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let address = uri.authority().map(ToString::to_string).unwrap_or_default();
        let dialled = self.dial(&address);
        Box::pin(async move { Ok(TokioIo::new(dialled.await?)) })
    }
}
