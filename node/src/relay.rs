//! Passes cells on to nodes that keep copies of the same chunk, so that they cross into this datacenter once.

mod directory;
mod relay_stream;

use std::sync::Arc;

use cairn_codec::Frame;
use cairn_proto::ids::{IncarnationId, NodeId};
use cairn_proto::wire;
use futures_util::future::join_all;
use tokio::sync::Semaphore;

use directory::Directory;
use relay_stream::RelayStream;

/// Streams to other nodes that are open at a time; further ones wait. Each holds two messages of at most 1 MiB.
const RELAY_STREAMS: usize = 32;

/// A copy to pass cells on to.
#[derive(Debug, Clone)]
pub(crate) struct RelayTarget {
    pub(crate) node: NodeId,
    pub(crate) incarnation: IncarnationId,
    pub(crate) chunk_index: u8,
    /// What every request for the copy carries.
    pub(crate) chunk: wire::ChunkTarget,
}

/// The ways from this node to others.
pub(crate) struct Relays {
    directory: Directory,
    streams: Arc<Semaphore>,
}

impl Relays {
    /// With the masters to ask where nodes are.
    pub(crate) fn new(masters: Vec<String>) -> Self {
        Self { directory: Directory::new(masters), streams: Arc::new(Semaphore::new(RELAY_STREAMS)) }
    }

    /// Begins to pass cells on.
    pub(crate) fn start(self: &Arc<Self>, targets: Vec<RelayTarget>) -> Relaying {
        Relaying(targets.into_iter().map(|target| RelayStream::start(self, target)).collect())
    }
}

/// The copies that one stream of cells is passed on to. One that fails is left behind: its writer learns it from the
/// seal, which compares what the node has with what was sent.
pub(crate) struct Relaying(Vec<RelayStream>);

impl Relaying {
    /// What is to be passed on of cells: without copies nothing, so that a stream that is not relayed pays nothing.
    pub(crate) fn share(&self, frames: &[Frame]) -> Arc<[Frame]> {
        if self.0.is_empty() { Arc::default() } else { frames.into() }
    }

    /// Passes cells on; waits while a node is behind, for as long as a node may be.
    pub(crate) async fn pass(&mut self, frames: Arc<[Frame]>) {
        join_all(self.0.iter_mut().map(|stream| stream.pass(Arc::clone(&frames)))).await;
    }

    /// Waits until the nodes have stored all that was passed on, or failed.
    pub(crate) async fn finish(self) {
        join_all(self.0.into_iter().map(RelayStream::finish)).await;
    }
}
