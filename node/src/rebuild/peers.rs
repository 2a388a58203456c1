use std::num::NonZeroUsize;

use cairn_proto::BULK_MESSAGE_LIMIT_BYTES;
use cairn_proto::transport::{InvalidAddress, Liveness, TcpConnector, channel};
use cairn_proto::wire::chunks_client::ChunksClient;
use lru::LruCache;
use parking_lot::Mutex;
use tonic::transport::Channel;

/// Nodes whose connections are kept.
const KEPT_PEERS: NonZeroUsize = NonZeroUsize::new(256).expect("not 0");

/// Connections to the nodes that chunks are made from, by address: a small chunk takes less time than to connect.
pub(crate) struct Peers(Mutex<LruCache<String, ChunksClient<Channel>>>);

impl Peers {
    /// Nothing is connected before it is first read from.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(LruCache::new(KEPT_PEERS)))
    }

    /// The way to the node at an address that the elected master named.
    pub(crate) fn at(&self, address: &str) -> Result<ChunksClient<Channel>, InvalidAddress> {
        if let Some(known) = self.0.lock().get(address) {
            return Ok(known.clone());
        }
        let client = ChunksClient::new(channel(&TcpConnector, address, Liveness::USUAL)?)
            .max_decoding_message_size(BULK_MESSAGE_LIMIT_BYTES);
        self.0.lock().put(address.to_owned(), client.clone());
        Ok(client)
    }
}
