use cairn_proto::ids::NodeId;
use cairn_proto::wire::NodeStatus;
use clap::Args;

use super::Failure;
use super::failure::UnknownNode;
use crate::client::Client;

/// Shortest beginning of an id that names a node.
const PREFIX_LENGTH: usize = 4;

/// The node that a command is about.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeChoice {
    /// Name of the node, its id, or enough of the id's beginning, as `cairn node list` shows them
    #[arg(value_name = "NODE")]
    node: String,
}

/// A node that was found.
#[derive(Debug, Clone)]
pub(crate) struct ChosenNode {
    pub(crate) id: NodeId,
    pub(crate) name: String,
}

impl NodeChoice {
    /// What was asked for.
    pub(crate) fn text(&self) -> &str {
        &self.node
    }

    /// The node, among those there are.
    pub(crate) async fn find(&self, client: &Client) -> Result<ChosenNode, Failure> {
        let nodes = client.nodes().await?;
        let known: Vec<ChosenNode> = nodes.iter().filter_map(chosen).collect();
        Ok(choose(&self.node, &known)?.clone())
    }
}

fn chosen(status: &NodeStatus) -> Option<ChosenNode> {
    let node = status.node.as_ref()?;
    Some(ChosenNode { id: NodeId::from_wire(&node.id).ok()?, name: node.name.clone() })
}

/// The one node of this name; without any, the one whose id begins so.
fn choose<'a>(text: &str, known: &'a [ChosenNode]) -> Result<&'a ChosenNode, UnknownNode> {
    let called_so: Vec<&ChosenNode> = known.iter().filter(|node| node.name == text).collect();
    let begins_so = |node: &&ChosenNode| text.len() >= PREFIX_LENGTH && node.id.to_string().starts_with(text);
    let found = if called_so.is_empty() { known.iter().filter(begins_so).collect() } else { called_so };
    match found.as_slice() {
        [node] => Ok(node),
        [] => {
            let names: Vec<&str> = known.iter().map(|node| node.name.as_str()).collect();
            Err(UnknownNode::None { text: text.to_owned(), known: names.join(", ") })
        }
        several => {
            let ids: Vec<String> = several.iter().map(|node| node.id.to_string()).collect();
            Err(UnknownNode::Several { text: text.to_owned(), ids: ids.join(", ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChosenNode, UnknownNode, choose};
    use cairn_proto::ids::NodeId;

    fn node(name: &str, first: u8) -> ChosenNode {
        ChosenNode { id: NodeId::from_bytes([first; 16]), name: name.to_owned() }
    }

    #[test]
    fn a_node_is_named_by_its_name_or_the_beginning_of_its_id() {
        let known = [node("node-1", 0x11), node("node-2", 0x12), node("node-2", 0x21)];
        assert_eq!(choose("node-1", &known).unwrap().id, known[0].id);
        assert_eq!(choose("12121212-12", &known).unwrap().id, known[1].id);
        assert!(matches!(choose("node-2", &known), Err(UnknownNode::Several { ids, .. }) if ids.contains("2121")));
        assert!(matches!(choose("1", &known), Err(UnknownNode::None { .. })), "too short");
        let unknown = choose("node-9", &known).unwrap_err().to_string();
        assert!(unknown.contains("node-9") && unknown.contains("node-1, node-2"), "{unknown}");
    }
}
