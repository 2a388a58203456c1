use std::io;

use cairn_proto::transport::{ByteStream, Connector, Dialling};
use tonic::transport::{Channel, Endpoint};

use super::{Network, Place};
use crate::dialler::Dialler;

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
        endpoint.connect_with_connector_lazy(Dialler(self.clone()))
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
