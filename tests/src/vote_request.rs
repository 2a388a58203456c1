//! Asks a master for its vote, as another master does that stands for election.

use std::fs;
use std::path::Path;

use cairn_proto::ids::{ClusterId, MasterId};
use cairn_proto::transport::{Liveness, TcpConnector, channel};
use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use serde::Deserialize;
use tokio::runtime::{Builder, Runtime};
use tonic::Status;

use crate::bare_cluster::BareCluster;

/// The directory of every master says whose it is.
#[derive(Debug, Deserialize)]
struct Identity {
    id: String,
    cluster: String,
}

/// Speaks for the other masters of a group to one of them.
#[derive(Debug)]
pub struct VoteRequester {
    runtime: Runtime,
    target: u64,
    address: String,
    disks: Vec<MasterId>,
    cluster: ClusterId,
}

impl VoteRequester {
    /// For the master of this id, in a group whose masters are numbered from 1.
    ///
    /// # Panics
    /// When a master has no identity yet.
    #[must_use]
    pub fn of(cluster: &BareCluster, target: u64) -> Self {
        let addresses = cluster.addresses();
        let read = |id: usize| identity(&cluster.data(&format!("master-{id}")));
        let identities: Vec<Identity> = (1..=addresses.len()).map(read).collect();
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        let disks = identities.iter().map(|identity| identity.id.parse().expect("an id")).collect();
        let address = addresses[position(target)].clone();
        let id = identities[0].cluster.parse().expect("the id of a cluster");
        Self { runtime, target, address, disks, cluster: id }
    }

    /// Asks for a vote for `candidate` in `term`, whose log is said to be longer than any.
    pub fn ask(&self, candidate: u64, term: u64) -> Result<wire::VoteResponse, Status> {
        let header = wire::RaftHeader {
            cluster: self.cluster.to_wire(),
            target: self.target,
            target_disk: self.disks[position(self.target)].to_wire(),
            sender: candidate,
            sender_disk: self.disks[position(candidate)].to_wire(),
        };
        let request = wire::VoteRequest {
            header: Some(header),
            vote: Some(wire::RaftVote { term, master: candidate, committed: false }),
            last_log_id: Some(wire::LogId { term: term - 1, master: candidate, index: u64::from(u32::MAX) }),
            pre_vote: false,
            leadership_transfer: false,
        };
        self.runtime.block_on(async {
            let connection = channel(&TcpConnector, &self.address, Liveness::USUAL);
            let connection = connection.map_err(|error| Status::invalid_argument(error.to_string()))?;
            Ok(RaftClient::new(connection).vote(request).await?.into_inner())
        })
    }
}

fn identity(directory: &Path) -> Identity {
    let file = directory.join("identity.toml");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn position(id: u64) -> usize {
    usize::try_from(id - 1).expect("ids are counted from 1")
}
