use cairn_proto::wire::NodeState;
use clap::Args;

use super::cluster::ClusterArguments;
use super::node_change::NodeChange;
use super::node_choice::NodeChoice;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// `cairn node maintenance`: announces that a node may be away.
#[derive(Debug, Args)]
pub(crate) struct MaintenanceArguments {
    #[command(flatten)]
    node: NodeChoice,

    /// How long from now on
    #[arg(long = "for", value_name = "TIME")]
    duration: humantime::Duration,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl MaintenanceArguments {
    pub(crate) fn subject(&self) -> String {
        format!("node maintenance {}", self.node.text())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let announce = async |client: &Client| {
            let node = self.node.find(client).await?;
            client.set_node_intent(node.id, NodeState::Maintenance, *self.duration).await?;
            Ok::<_, Failure>(node)
        };
        let node = self.cluster.with_client("node maintenance", announce).await?;
        let words = || {
            let (name, duration) = (&node.name, self.duration);
            format!("{name} is not missed for {duration}; earlier back in service: cairn node undrain {name}")
        };
        console::answer(self.json, &NodeChange::new(&node, "maintenance"), words)
    }
}
