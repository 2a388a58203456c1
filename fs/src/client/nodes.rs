use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::transport::{Connector, DirectChannel, Liveness, channel};
use cairn_proto::wire::chunks_client::ChunksClient;
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, wire};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::ClientError;
use super::avoidance::Avoidance;

/// How long a node that failed is passed over where others will do.
const AVOID_NODE: Duration = Duration::from_secs(10);
/// How long a node that was slow to answer a reader is read around.
const AVOID_SLOW_NODE: Duration = Duration::from_secs(5);
/// How long a chunk that is missing, stale or corrupt is not asked for again.
const AVOID_CHUNK: Duration = Duration::from_secs(30);
/// Nodes whose connections are kept.
const KEPT_NODES: NonZeroUsize = NonZeroUsize::new(1024).expect("not 0");
/// Streams of cells to one node that are open at a time; further ones wait until one falls idle. Bounds what HTTP/2
/// buffers for a node that has stopped: about 1 MiB a stream.
const WRITE_STREAMS_PER_NODE: usize = 32;

/// Connections to the storage nodes, and which of them failed just now.
#[derive(Debug)]
pub(super) struct Nodes {
    connector: Arc<dyn Connector>,
    connections: Mutex<LruCache<String, Arc<NodeConnections>>>,
    /// Nodes that did not answer.
    pub(super) unreachable: Avoidance<NodeId>,
    /// Nodes that were slow to answer a reader.
    pub(super) slow: Avoidance<NodeId>,
    /// Nodes that refuse writes.
    pub(super) refusing_writes: Avoidance<NodeId>,
    /// Chunks (by index) that their node could not give.
    pub(super) bad_chunks: Avoidance<(SegmentId, usize)>,
}

/// The connections to one node. Bulk transfers have their own, so that small requests do not queue behind them.
#[derive(Debug)]
pub(super) struct NodeConnections {
    small: DirectChannel,
    bulk_reads: DirectChannel,
    bulk_writes: Channel,
    pub(super) write_streams: Arc<Semaphore>,
}

impl Nodes {
    pub(super) fn new(connector: Arc<dyn Connector>) -> Self {
        Self {
            connector,
            connections: Mutex::new(LruCache::new(KEPT_NODES)),
            unreachable: Avoidance::new(AVOID_NODE),
            slow: Avoidance::new(AVOID_SLOW_NODE),
            refusing_writes: Avoidance::new(AVOID_NODE),
            bad_chunks: Avoidance::new(AVOID_CHUNK),
        }
    }

    /// The connections to `address`; nothing is connected before the first request.
    pub(super) fn at(&self, address: &str) -> Result<Arc<NodeConnections>, ClientError> {
        let mut connections = self.connections.lock();
        if let Some(found) = connections.get(address) {
            return Ok(Arc::clone(found));
        }
        let made = Arc::new(NodeConnections::new(&self.connector, address)?);
        connections.put(address.to_owned(), Arc::clone(&made));
        Ok(made)
    }

    /// Nodes that new segments had better not be placed on.
    pub(super) fn avoided_for_writing(&self) -> Vec<NodeId> {
        let now = Instant::now();
        let mut avoided = self.unreachable.all(now);
        avoided.extend(self.refusing_writes.all(now));
        avoided
    }
}

impl NodeConnections {
    fn new(connector: &Arc<dyn Connector>, address: &str) -> Result<Self, ClientError> {
        let connect = || DirectChannel::new(Arc::clone(connector), address, Liveness::USUAL);
        Ok(Self {
            small: connect()?,
            bulk_reads: connect()?,
            bulk_writes: channel(&**connector, address, Liveness::USUAL)?,
            write_streams: Arc::new(Semaphore::new(WRITE_STREAMS_PER_NODE)),
        })
    }

    pub(super) fn small_reads(&self) -> DirectChannel {
        self.small.clone()
    }

    pub(super) fn bulk_reads(&self) -> DirectChannel {
        self.bulk_reads.clone()
    }

    pub(super) fn bulk_writes(&self) -> ChunksClient<Channel> {
        ChunksClient::new(self.bulk_writes.clone())
            .max_decoding_message_size(BULK_MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(BULK_MESSAGE_LIMIT_BYTES)
    }

    /// Seals a chunk; `is_small`: with few bytes in the request.
    pub(super) async fn seal(
        &self,
        request: wire::SealBlobRequest,
        is_small: bool,
    ) -> Result<Response<wire::SealBlobResponse>, Status> {
        if is_small {
            ChunksClient::new(self.small.clone()).seal_blob(request).await
        } else {
            self.bulk_writes().seal_blob(request).await
        }
    }
}
