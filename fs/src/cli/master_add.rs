use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use super::cluster::ClusterArguments;
use super::master_list::MasterLine;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// How often it is asked whether the new master votes.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// `cairn master add`: takes a master that waits to join into the group.
#[derive(Debug, Args)]
pub(crate) struct AddArguments {
    /// Where the new master waits: host:port
    address: String,

    /// Do not wait until it votes
    #[arg(long)]
    no_wait: bool,

    /// How long to wait until it votes
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl AddArguments {
    pub(crate) fn subject(&self) -> String {
        format!("master add {}", self.address)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let add = async |client: &Client| self.add(client).await;
        let added = self.cluster.with_client("master add", add).await?;
        let words = || format!("master {} ({}) is a {} now", added.id, added.name, added.role);
        console::answer(self.json, &added, words)
    }

    async fn add(&self, client: &Client) -> Result<MasterLine, Failure> {
        let id = client.add_master(&self.address).await?;
        let deadline = Instant::now() + self.timeout;
        loop {
            let masters = client.masters().await?.into_iter().map(MasterLine::from);
            let added = masters.into_iter().find(|line| line.id == id);
            match added {
                Some(line) if self.no_wait || line.role == "voter" => return Ok(line),
                _ if Instant::now() >= deadline => {
                    let why = format!("master {id} is still catching up; it will vote by itself");
                    return Err(Failure::NotReady(why));
                }
                _ => sleep(POLL_INTERVAL).await,
            }
        }
    }
}
