use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};

/// `cairn master remove`: takes a master out of the group for ever.
#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    /// Its id, as `cairn master list` shows it; never used again
    #[arg(value_name = "ID")]
    master: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `master remove --json` prints.
#[derive(Debug, Serialize)]
struct Removed {
    id: u64,
    removed: bool,
}

impl RemoveArguments {
    pub(crate) fn subject(&self) -> String {
        format!("master remove {}", self.master)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let id = self.master;
        self.cluster.with_client("master remove", async |client| client.remove_master(id).await).await?;
        console::answer(self.json, &Removed { id, removed: true }, || format!("master {id} is removed for ever"))
    }
}
