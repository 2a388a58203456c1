use std::time::Duration;

use cairn_proto::wire::{NodeState, PlanDrainResponse};
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::node_choice::NodeChoice;
use super::status::size;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};
use crate::client::{Client, ClientError};

/// `cairn node drain`: moves every chunk of a node to others.
#[derive(Debug, Args)]
pub(crate) struct DrainArguments {
    #[command(flatten)]
    node: NodeChoice,

    /// Do it; otherwise only what it would take is shown
    #[arg(long)]
    yes: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `node drain --json` prints.
#[derive(Debug, Serialize)]
struct Drain {
    name: String,
    id: String,
    chunks: u64,
    bytes: u64,
    free_bytes: u64,
    targets: Vec<TargetLine>,
    /// Why it is refused.
    hindrance: Option<String>,
    started: bool,
}

#[derive(Debug, Serialize)]
struct TargetLine {
    name: String,
    chunks: u64,
    bytes: u64,
    free_bytes: u64,
}

impl DrainArguments {
    pub(crate) fn subject(&self) -> String {
        format!("node drain {}", self.node.text())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let drain = self.cluster.with_client("node drain", async |client| self.drain(client).await).await?;
        match drain.hindrance.clone() {
            Some(why) if !self.json => Err(ClientError::NodeRefused { why }.into()),
            hindrance => {
                console::answer(self.json, &drain, || drain.text())?;
                Ok(if hindrance.is_some() { ExitStatus::NotReady } else { ExitStatus::Done })
            }
        }
    }

    async fn drain(&self, client: &Client) -> Result<Drain, Failure> {
        let node = self.node.find(client).await?;
        let plan = client.plan_drain(node.id).await?;
        let mut drain = Drain::of(node.name, node.id.to_string(), plan);
        if self.yes && drain.hindrance.is_none() {
            client.set_node_intent(node.id, NodeState::Draining, Duration::ZERO).await?;
            drain.started = true;
        }
        Ok(drain)
    }
}

impl Drain {
    fn of(name: String, id: String, plan: PlanDrainResponse) -> Self {
        let target = |target: cairn_proto::wire::DrainTarget| TargetLine {
            name: target.name,
            chunks: target.chunks,
            bytes: target.bytes,
            free_bytes: target.free_bytes,
        };
        Self {
            name,
            id,
            chunks: plan.chunks,
            bytes: plan.bytes,
            free_bytes: plan.free_bytes,
            targets: plan.targets.into_iter().map(target).collect(),
            hindrance: Some(plan.hindrance).filter(|why| !why.is_empty()),
            started: false,
        }
    }

    fn text(&self) -> String {
        let (name, bytes, free) = (&self.name, size(self.bytes), size(self.free_bytes));
        let mut lines =
            vec![format!("{name} has {} chunks, {bytes}, to move; the others have {free} free", self.chunks)];
        if !self.targets.is_empty() {
            let mut table = plain_table(&["TO ABOUT", "CHUNKS", "BYTES", "FREE NOW"]);
            for target in &self.targets {
                let (bytes, free) = (number(size(target.bytes)), number(size(target.free_bytes)));
                table.add_row([target.name.as_str().into(), number(target.chunks), bytes, free]);
            }
            lines.push(table.trim_fmt());
        }
        lines.push(if self.started {
            format!("{name} is being drained; see how far it is: cairn node list")
        } else {
            format!("nothing is changed yet; do it: cairn node drain {name} --yes")
        });
        lines.join("\n")
    }
}
