use serde::Serialize;

use super::node_choice::ChosenNode;

/// What a command that changed a node prints with `--json`.
#[derive(Debug, Serialize)]
pub(crate) struct NodeChange {
    name: String,
    id: String,
    intended: &'static str,
}

impl NodeChange {
    /// A node that is to be so from now on.
    pub(crate) fn new(node: &ChosenNode, intended: &'static str) -> Self {
        Self { name: node.name.clone(), id: node.id.to_string(), intended }
    }
}
