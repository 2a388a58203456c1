use clap::{Args, ValueEnum};
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// `cairn node rebalance`: how chunks move from fuller nodes to emptier ones.
#[derive(Debug, Args)]
pub(crate) struct RebalanceArguments {
    /// What to do
    #[arg(value_enum, default_value = "status")]
    action: Action,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// Show how it goes
    Status,
    /// Let it go on
    Start,
    /// Stop it
    Stop,
}

/// What `node rebalance --json` prints.
#[derive(Debug, Serialize)]
struct Rebalance {
    stopped: bool,
    running: bool,
    moved_chunks: u64,
}

impl RebalanceArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let act = async |client: &Client| {
            if self.action != Action::Status {
                client.set_rebalance(self.action == Action::Stop).await?;
            }
            client.rebalance().await
        };
        let answer = self.cluster.with_client("node rebalance", act).await?;
        let (stopped, running, moved_chunks) = (answer.stopped, answer.running, answer.moved_chunks);
        let words = || {
            let how = match (stopped, running) {
                (true, _) => "stopped; let it go on: cairn node rebalance start",
                (false, true) => "chunks move from fuller nodes to emptier ones",
                (false, false) => "the nodes are about equally full, or nothing more can be moved",
            };
            format!("{how}; {moved_chunks} chunks moved since the election")
        };
        console::answer(self.json, &Rebalance { stopped, running, moved_chunks }, words)
    }
}
