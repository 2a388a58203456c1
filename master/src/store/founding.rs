//! How a group of masters comes to be, and how a master with nothing stored finds its place: never by guessing.

mod decide;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::introduction::{Introduced, Introduction};
use super::raft::Peers;
use super::{Group, StartError};
use decide::{Verdict, decide};

/// Pause between two rounds of asking.
const ROUND_PAUSE: Duration = Duration::from_millis(200);

/// How long the resolution of a name may take.
const RESOLVE_LIMIT: Duration = Duration::from_secs(2);

/// A master that belongs to no group yet. It asks the others who they are until it is clear what to do.
pub(super) struct Founding {
    pub(super) own: Introduction,
    /// Where the other founders are, or masters of the group to join.
    pub(super) addresses: Vec<String>,
    pub(super) group: Group,
    pub(super) peers: Arc<Peers>,
}

/// Why a master with nothing stored must not run.
#[derive(Debug, thiserror::Error)]
pub(super) enum FoundingError {
    #[error("{why}")]
    Refused { why: String },
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Founding {
    /// Returns once this master has founded a group with the others, or belongs to one.
    pub(super) async fn run(self) -> Result<(), FoundingError> {
        let mut said = String::new();
        while !self.group.is_grouped().await? {
            match decide(&self.own, &self.ask().await) {
                Verdict::Found(members) => return Ok(self.group.found(members).await?),
                Verdict::Belongs => {}
                Verdict::Wait(why) if why == said => {}
                Verdict::Wait(why) => {
                    tracing::info!("{why}");
                    said = why;
                }
                Verdict::Refuse(why) => return Err(FoundingError::Refused { why }),
            }
            // Another master's entries may come at any time.
            let mut leader = self.group.leader();
            let grouped = timeout(ROUND_PAUSE, leader.wait_for(Option::is_some)).await;
            if matches!(grouped, Ok(Err(_))) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The answer of each master that gave one.
    async fn ask(&self) -> Vec<Introduced> {
        let resolved = join_all(self.addresses.iter().map(|address| resolve(address))).await;
        let addresses: BTreeSet<String> = resolved.into_iter().flatten().collect();
        let answers = addresses.iter().map(|address| self.peers.introduce(address, &self.own));
        join_all(answers).await.into_iter().flatten().collect()
    }
}

/// All addresses that a name stands for now; one that does not resolve stands for itself.
async fn resolve(name: &str) -> Vec<String> {
    match timeout(RESOLVE_LIMIT, tokio::net::lookup_host(name)).await {
        Ok(Ok(found)) => found.map(|address| address.to_string()).collect(),
        Ok(Err(_)) | Err(_) => vec![name.to_owned()],
    }
}
