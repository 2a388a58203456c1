use std::time::Duration;

use cairn_proto::wire::NodeState;
use clap::Args;

use super::cluster::ClusterArguments;
use super::node_change::NodeChange;
use super::node_choice::NodeChoice;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// `cairn node undrain`: returns a node to service.
#[derive(Debug, Args)]
pub(crate) struct UndrainArguments {
    #[command(flatten)]
    node: NodeChoice,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl UndrainArguments {
    pub(crate) fn subject(&self) -> String {
        format!("node undrain {}", self.node.text())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let undrain = async |client: &Client| {
            let node = self.node.find(client).await?;
            client.set_node_intent(node.id, NodeState::Active, Duration::ZERO).await?;
            Ok::<_, Failure>(node)
        };
        let node = self.cluster.with_client("node undrain", undrain).await?;
        let words = || format!("{} is in service", node.name);
        console::answer(self.json, &NodeChange::new(&node, "active"), words)
    }
}
