use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::node_choice::NodeChoice;
use super::{ExitStatus, Failure, console};
use crate::client::{Client, ClientError};

/// `cairn node remove`: takes a node out of the cluster for ever.
#[derive(Debug, Args)]
pub(crate) struct RemoveArguments {
    #[command(flatten)]
    node: NodeChoice,

    /// Do it; otherwise only what it would cost is shown
    #[arg(long)]
    yes: bool,

    /// Give up the chunks of a dead node, even where blobs are lost
    #[arg(long)]
    force: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `node remove --json` prints.
#[derive(Debug, Serialize)]
struct Removal {
    name: String,
    id: String,
    /// Chunks that count there.
    chunks: u64,
    /// Blobs that lose redundancy.
    blobs: u64,
    /// Blobs that are lost for ever.
    lost_blobs: u64,
    /// Why it is refused.
    hindrance: Option<String>,
    removed: bool,
}

impl RemoveArguments {
    pub(crate) fn subject(&self) -> String {
        format!("node remove {}", self.node.text())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let removal = self.cluster.with_client("node remove", async |client| self.remove(client).await).await?;
        match removal.hindrance.clone() {
            Some(why) if !self.json => Err(ClientError::NodeRefused { why }.into()),
            hindrance => {
                console::answer(self.json, &removal, || removal.text(self.force))?;
                Ok(if hindrance.is_some() { ExitStatus::NotReady } else { ExitStatus::Done })
            }
        }
    }

    async fn remove(&self, client: &Client) -> Result<Removal, Failure> {
        let node = self.node.find(client).await?;
        let plan = client.plan_removal(node.id).await?;
        let is_accepted = self.force && plan.can_be_forced;
        let mut removal = Removal {
            name: node.name,
            id: node.id.to_string(),
            chunks: plan.chunks,
            blobs: plan.blobs,
            lost_blobs: plan.lost_blobs,
            hindrance: Some(plan.hindrance).filter(|why| !why.is_empty() && !is_accepted),
            removed: false,
        };
        if self.yes && removal.hindrance.is_none() {
            client.remove_node(node.id, self.force).await?;
            removal.removed = true;
        }
        Ok(removal)
    }
}

impl Removal {
    fn text(&self, force: bool) -> String {
        let (name, chunks, blobs, lost) = (&self.name, self.chunks, self.blobs, self.lost_blobs);
        let cost = if chunks == 0 {
            String::new()
        } else {
            format!(", with {chunks} chunks: {blobs} blobs lose redundancy, {lost} of them are lost for ever")
        };
        if self.removed {
            return format!("{name} is removed for ever{cost}");
        }
        let force = if force { " --force" } else { "" };
        format!("{name} can be removed{cost}; nothing is changed yet; do it: cairn node remove {name} --yes{force}")
    }
}
