use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::ClusterId;
use cairn_proto::transport::{Liveness, endpoint};
use cairn_proto::{MESSAGE_LIMIT_BYTES, Refusal, WireRefusal, wire};
use tokio::time::{sleep, timeout};
use tonic::transport::Channel;
use wire::registry_client::RegistryClient;

use crate::identity::IdentityError;
use crate::node::Node;

mod backoff;
mod ring;

use backoff::Backoff;
pub(crate) use ring::Ring;

/// Silence of the elected master after which the node joins again: six of its heartbeats. A master that was
/// elected meanwhile, or lost its record of this node, may not know where to ask.
const SILENCE: Duration = Duration::from_secs(3);

/// One attempt to join at one master.
const JOIN_LIMIT: Duration = Duration::from_secs(3);

/// A clean stop does not wait longer for its announcement.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// Keeps a node registered with the masters.
pub(crate) struct Registration {
    node: Arc<Node>,
    ring: Ring,
    /// For how long a clean stop is announced as planned.
    planned_stop: Option<Duration>,
}

/// Why a node cannot be part of the cluster that its masters are.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A master refused for good.
    #[error(
        "master {master} refuses this node: {refusal}. Correct the list of masters, or give the node \
             an empty directory"
    )]
    Refused {
        /// Its address.
        master: String,
        /// What it said.
        refusal: Refusal,
    },
    /// The directory belongs to another cluster, or cannot be written.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

enum Outcome {
    Joined(ClusterId),
    /// Another master may be the elected one; its address, if known.
    Elsewhere(String),
    Failed(String),
}

impl Registration {
    pub(crate) fn new(node: Arc<Node>, masters: Vec<String>, planned_stop: Option<Duration>) -> Self {
        Self { node, ring: Ring::new(masters), planned_stop }
    }

    /// Joins, and joins again whenever the masters fall silent. Returns only when the node must not join.
    pub(crate) async fn keep(&mut self) -> JoinError {
        loop {
            if let Err(error) = self.join().await {
                return error;
            }
            self.silence().await;
        }
    }

    /// Announces a clean stop to the master that knows the node. Failing that, its silence tells the same, later.
    pub(crate) async fn leave(&mut self) {
        let request = wire::LeaveRequest {
            node: self.node.id().to_wire(),
            boot: self.node.admission.boot().to_wire(),
            maintenance_ms: self.planned_stop.map_or(0, |stop| u64::try_from(stop.as_millis()).unwrap_or(u64::MAX)),
        };
        let leave = async {
            let mut master = connect(self.ring.current()).await?;
            master.leave(request).await.map_err(|status| status.to_string())
        };
        match timeout(LEAVE_LIMIT, leave).await {
            Ok(Ok(_)) => tracing::info!("left the cluster"),
            Ok(Err(why)) => tracing::info!(why, "stopped without saying so to the masters"),
            Err(_) => tracing::info!("stopped without saying so to the masters, which did not answer"),
        }
    }

    /// Tries master after master until one takes the node in.
    async fn join(&mut self) -> Result<(), JoinError> {
        let mut backoff = Backoff::new();
        let mut last_failure = String::new();
        loop {
            let master = self.ring.current().to_owned();
            match self.attempt(&master).await? {
                Outcome::Joined(cluster) => {
                    self.node.adopt(cluster)?;
                    tracing::info!(%cluster, master, "joined");
                    return Ok(());
                }
                Outcome::Elsewhere(elected) => {
                    if self.ring.follow(&elected) {
                        continue;
                    }
                }
                Outcome::Failed(why) => {
                    if why != last_failure {
                        tracing::warn!(master, why, "could not join; trying on");
                        last_failure = why;
                    }
                    self.ring.advance();
                }
            }
            sleep(backoff.next(RandomState::new().build_hasher().finish())).await;
        }
    }

    async fn attempt(&self, master: &str) -> Result<Outcome, JoinError> {
        let node = match self.node.info() {
            Ok(info) => info,
            Err(error) => return Ok(Outcome::Failed(error.to_string())),
        };
        let cluster = self.node.cluster().map(ClusterId::to_wire).unwrap_or_default();
        let request = wire::JoinRequest { cluster, node: Some(node) };
        let join = async {
            let mut registry =
                connect(master).await.map_err(|why| WireRefusal::from(tonic::Status::unavailable(why)))?;
            registry.join(request).await.map_err(WireRefusal::from)
        };
        match timeout(JOIN_LIMIT, join).await {
            Err(_) => Ok(Outcome::Failed(format!("no answer within {} s", JOIN_LIMIT.as_secs()))),
            Ok(Ok(response)) => Ok(match ClusterId::from_wire(&response.into_inner().cluster) {
                Ok(cluster) => Outcome::Joined(cluster),
                Err(error) => Outcome::Failed(format!("the answer to the join is invalid: {error}")),
            }),
            Ok(Err(WireRefusal::Refused(refusal))) => refused(master, refusal),
            Ok(Err(error)) => Ok(Outcome::Failed(error.to_string())),
        }
    }

    /// Returns when nobody has polled the node for too long.
    async fn silence(&self) {
        let mut polled = self.node.polled();
        while let Ok(Ok(())) = timeout(SILENCE, polled.changed()).await {}
        tracing::info!(silence_s = SILENCE.as_secs(), "no master asks; joining again");
    }
}

fn refused(master: &str, refusal: Refusal) -> Result<Outcome, JoinError> {
    match refusal {
        Refusal::NotElected { elected } => Ok(Outcome::Elsewhere(elected)),
        Refusal::ForeignCluster { .. } => Err(JoinError::Refused { master: master.to_owned(), refusal }),
        other => Ok(Outcome::Failed(other.to_string())),
    }
}

pub(crate) async fn connect(master: &str) -> Result<RegistryClient<Channel>, String> {
    let endpoint = endpoint(master, Liveness::USUAL).map_err(|error| error.to_string())?;
    let channel = endpoint.connect().await.map_err(|error| chain(&error))?;
    Ok(RegistryClient::new(channel)
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES))
}

/// An error with its causes; the outermost alone says only "transport error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
