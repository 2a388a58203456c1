use std::collections::HashMap;
use std::time::Duration;

use cairn_proto::BULK_MESSAGE_LIMIT_BYTES;
use cairn_proto::ids::ClusterId;
use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use super::super::Member;

/// How long a connection may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How often an idle connection is probed, and how long the answer may take.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes under way on one stream and on one connection.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;

/// What a connection is for. Each has its own, so that no snapshot stands in the way of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Heartbeats, votes, hand-overs.
    Control,
    /// Entries of the log.
    Replication,
    /// Snapshots.
    Snapshot,
}

/// The connections to the other masters: one for each master and lane, made when first used and kept.
pub(crate) struct Peers {
    configured: HashMap<u64, String>,
    cluster: watch::Receiver<Option<ClusterId>>,
    channels: Mutex<HashMap<(u64, Lane), Cached>>,
}

struct Cached {
    address: String,
    channel: Channel,
}

/// An address that cannot be one.
#[derive(Debug, thiserror::Error)]
#[error("{address:?} is no address of a master: {source}")]
pub(super) struct InvalidAddress {
    address: String,
    source: tonic::transport::Error,
}

impl Peers {
    pub(crate) fn new(configured: &[Member], cluster: watch::Receiver<Option<ClusterId>>) -> Self {
        let configured = configured.iter().map(|member| (member.id, member.address.clone())).collect();
        Self { configured, cluster, channels: Mutex::default() }
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
                let channel = connect(address)?;
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

fn connect(address: &str) -> Result<Channel, InvalidAddress> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|source| InvalidAddress { address: address.to_owned(), source })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .connect_lazy())
}
