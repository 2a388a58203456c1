use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{ClusterId, MasterId};
use cairn_proto::transport::{Connector, InvalidAddress, Liveness, channel};
use cairn_proto::wire::raft_client::RaftClient;
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, Refusal, wire};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::super::Member;
use super::super::introduction::{Introduced, Introduction, InvalidIntroduction};

/// How long a master may take to say who it is.
const INTRODUCE_DEADLINE: Duration = Duration::from_secs(1);

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
    me: u64,
    disk: MasterId,
    configured: HashMap<u64, String>,
    cluster: watch::Receiver<Option<ClusterId>>,
    connector: Arc<dyn Connector>,
    channels: Mutex<HashMap<(u64, Lane), Cached>>,
    expelled: watch::Sender<Option<String>>,
}

struct Cached {
    address: String,
    channel: Channel,
}

/// Why a master did not say who it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IntroduceError {
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] Status),
    #[error("it answers nonsense: {0}")]
    Answer(#[from] InvalidIntroduction),
}

impl Peers {
    /// For the master `me` with the disk `disk`.
    pub(crate) fn new(
        me: u64,
        disk: MasterId,
        configured: &[Member],
        cluster: watch::Receiver<Option<ClusterId>>,
        connector: Arc<dyn Connector>,
    ) -> Self {
        let configured = configured.iter().map(|member| (member.id, member.address.clone())).collect();
        let (channels, expelled) = (Mutex::default(), watch::Sender::new(None));
        Self { me, disk, configured, cluster, connector, channels, expelled }
    }

    /// The header of a message to `target`, if it is still the disk that the group knows under this id.
    pub(super) fn header(&self, target: u64, target_disk: MasterId) -> wire::RaftHeader {
        wire::RaftHeader {
            cluster: self.cluster.borrow().map(ClusterId::to_wire).unwrap_or_default(),
            target,
            target_disk: target_disk.to_wire(),
            sender: self.me,
            sender_disk: self.disk.to_wire(),
        }
    }

    /// Takes note of a refusal that ends this master's part in the group for ever.
    pub(super) fn note(&self, target: u64, status: &Status) {
        if let Some(Refusal::NotMember { why }) = Refusal::from_status(status) {
            let why = format!(
                "master {target} refuses this one ({why}); its id and folder cannot be used again: empty the folder and \
                 add it under a new id"
            );
            self.expelled.send_replace(Some(why));
        }
    }

    /// Why this master belongs to the group no more, once it has been told.
    pub(crate) fn expelled(&self) -> watch::Receiver<Option<String>> {
        self.expelled.subscribe()
    }

    /// Asks who is at `address`.
    pub(crate) async fn introduce(&self, address: &str, own: &Introduction) -> Result<Introduced, IntroduceError> {
        let mut client = RaftClient::new(channel(&*self.connector, address, Liveness::MASTERS)?);
        let mut request = Request::new(wire::IntroduceRequest { introduction: Some(own.to_wire()) });
        request.set_timeout(INTRODUCE_DEADLINE);
        let answer = tokio::time::timeout(INTRODUCE_DEADLINE, client.introduce(request)).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("no answer in time")).flatten()?;
        Ok(Introduced::from_wire(answer.into_inner())?)
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
