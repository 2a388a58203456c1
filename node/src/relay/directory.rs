use std::num::NonZeroUsize;
use std::time::Duration;

use cairn_proto::ids::{IncarnationId, NodeId};
use cairn_proto::records;
use cairn_proto::transport::{InvalidAddress, Liveness, TcpConnector, channel};
use cairn_proto::wire::chunks_client::ChunksClient;
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, Refusal, WireRefusal, wire};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;

use crate::registration::{Ring, connect};

/// Nodes whose connections are kept.
const KEPT_NODES: NonZeroUsize = NonZeroUsize::new(256).expect("not 0");
/// How long the masters are asked for one node.
const LOCATE_LIMIT: Duration = Duration::from_secs(1);
/// Wait after all masters were asked in vain.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// Where other nodes are. Only the masters say: an address from elsewhere is never connected to.
pub(super) struct Directory {
    masters: Vec<String>,
    known: Mutex<LruCache<NodeId, Known>>,
}

struct Known {
    incarnation: IncarnationId,
    client: ChunksClient<Channel>,
}

/// Why a node cannot be reached.
#[derive(Debug, thiserror::Error)]
pub(super) enum LocateError {
    #[error("the masters did not say within {} s where it is", LOCATE_LIMIT.as_secs())]
    NoAnswer,
    #[error("the masters do not know it: {0}")]
    Unknown(Refusal),
    #[error("the masters' answer is invalid: {0}")]
    InvalidAnswer(Refusal),
    #[error("its data is another incarnation by now")]
    OtherIncarnation,
    #[error(transparent)]
    Address(#[from] InvalidAddress),
}

impl Directory {
    pub(super) fn new(masters: Vec<String>) -> Self {
        Self { masters, known: Mutex::new(LruCache::new(KEPT_NODES)) }
    }

    /// The way to a node, in one life of its data.
    pub(super) async fn find(
        &self,
        node: NodeId,
        incarnation: IncarnationId,
    ) -> Result<ChunksClient<Channel>, LocateError> {
        if let Some(known) = self.known.lock().get(&node).filter(|known| known.incarnation == incarnation) {
            return Ok(known.client.clone());
        }
        let found = timeout(LOCATE_LIMIT, self.locate(node)).await.map_err(|_| LocateError::NoAnswer)??;
        if found.incarnation != incarnation {
            return Err(LocateError::OtherIncarnation);
        }
        let client = ChunksClient::new(channel(&TcpConnector, &found.address, Liveness::USUAL)?)
            .max_encoding_message_size(BULK_MESSAGE_LIMIT_BYTES);
        self.known.lock().put(node, Known { incarnation, client: client.clone() });
        Ok(client)
    }

    /// Asks again next time.
    pub(super) fn forget(&self, node: NodeId) {
        self.known.lock().pop(&node);
    }

    /// Asks master after master until one knows.
    async fn locate(&self, node: NodeId) -> Result<records::Node, LocateError> {
        let mut ring = Ring::new(self.masters.clone());
        loop {
            match ask(ring.current(), node).await {
                Ok(answer) => {
                    return records::Node::try_from(answer.node.unwrap_or_default())
                        .map_err(LocateError::InvalidAnswer);
                }
                Err(WireRefusal::Refused(Refusal::NotElected { elected })) => {
                    if ring.follow(&elected) {
                        continue;
                    }
                }
                Err(WireRefusal::Refused(refusal @ Refusal::InvalidRequest { .. })) => {
                    return Err(LocateError::Unknown(refusal));
                }
                Err(_) => ring.advance(),
            }
            sleep(RETRY_AFTER).await;
        }
    }
}

async fn ask(master: &str, node: NodeId) -> Result<wire::LocateResponse, WireRefusal> {
    let mut registry = connect(master).await.map_err(|why| WireRefusal::from(tonic::Status::unavailable(why)))?;
    Ok(registry.locate(wire::LocateRequest { node: node.to_wire() }).await.map_err(WireRefusal::from)?.into_inner())
}
