use std::time::Duration;

use cairn_proto::wire::LeaderLease;
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// How often it is asked who is elected.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How long the new master may take to be elected once the old one has given up.
const ELECTION_LIMIT: Duration = Duration::from_secs(10);

/// `cairn master transfer-leader`: has another master be elected.
#[derive(Debug, Args)]
pub(crate) struct TransferLeaderArguments {
    /// Id of the master that is to be elected, as `cairn master list` shows it
    #[arg(value_name = "ID")]
    master: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `master transfer-leader --json` prints.
#[derive(Debug, Serialize)]
struct Elected {
    id: u64,
    address: String,
    epoch: u64,
}

impl TransferLeaderArguments {
    pub(crate) fn subject(&self) -> String {
        format!("master transfer-leader {}", self.master)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let transfer = async |client: &Client| self.transfer(client).await;
        let lease = self.cluster.with_client("master transfer-leader", transfer).await?;
        let elected = Elected { id: lease.master, address: lease.address, epoch: lease.epoch };
        let words = || format!("master {} at {} is elected now", elected.id, elected.address);
        console::answer(self.json, &elected, words)
    }

    async fn transfer(&self, client: &Client) -> Result<LeaderLease, Failure> {
        client.transfer_elected(self.master).await?;
        let deadline = Instant::now() + ELECTION_LIMIT;
        loop {
            match client.leader().await?.lease {
                Some(lease) if lease.master == self.master => return Ok(lease),
                _ if Instant::now() >= deadline => {
                    return Err(Failure::NotReady(format!("master {} is not elected yet", self.master)));
                }
                _ => sleep(POLL_INTERVAL).await,
            }
        }
    }
}
