use std::collections::HashMap;
use std::sync::Arc;

use cairn_proto::BULK_MESSAGE_LIMIT_BYTES;
use cairn_proto::ids::ClusterId;
use cairn_proto::transport::{Connector, InvalidAddress, Liveness, channel};
use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::transport::Channel;

use super::super::Member;

/// What a connection is for. Each has its own, so that no snapshot stands in the way of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Heartbeats, votes, hand-overs.
    Control,
    /// Entries of the log.
    Replication,
    /// Commands for the master that leads.
    Commands,
    /// Snapshots.
    Snapshot,
}

/// The connections to the other masters: one for each master and lane, made when first used and kept.
pub(crate) struct Peers {
    configured: HashMap<u64, String>,
    cluster: watch::Receiver<Option<ClusterId>>,
    connector: Arc<dyn Connector>,
    channels: Mutex<HashMap<(u64, Lane), Cached>>,
}

struct Cached {
    address: String,
    channel: Channel,
}

impl Peers {
    pub(crate) fn new(
        configured: &[Member],
        cluster: watch::Receiver<Option<ClusterId>>,
        connector: Arc<dyn Connector>,
    ) -> Self {
        let configured = configured.iter().map(|member| (member.id, member.address.clone())).collect();
        Self { configured, cluster, connector, channels: Mutex::default() }
    }

    /// The header of a message to `target`.
    pub(super) fn header(&self, target: u64) -> wire::RaftHeader {
        let cluster = self.cluster.borrow().map(ClusterId::to_wire).unwrap_or_default();
        wire::RaftHeader { cluster, target }
    }

    /// A client on the connection for `lane`. The address in this master's configuration counts before the one in
    /// the log, so that a master may move.
    pub(super) fn client(&self, target: u64, logged: &str, lane: Lane) -> Result<RaftClient<Channel>, InvalidAddress> {
        let address = self.configured.get(&target).map_or(logged, String::as_str);
        let mut channels = self.channels.lock();
        let channel = match channels.get(&(target, lane)) {
            Some(cached) if cached.address == address => cached.channel.clone(),
            _ => {
                let channel = channel(&*self.connector, address, Liveness::MASTERS)?;
                let cached = Cached { address: address.to_owned(), channel: channel.clone() };
                channels.insert((target, lane), cached);
                channel
            }
        };
        Ok(RaftClient::new(channel)
            .max_decoding_message_size(BULK_MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(BULK_MESSAGE_LIMIT_BYTES))
    }
}
