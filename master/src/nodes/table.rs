use std::collections::BTreeMap;

use cairn_proto::ids::NodeId;
use cairn_proto::records::Node;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::Health;
use super::member::Member;

/// The registered nodes of one election. As large as the `node/` records.
#[derive(Debug, Default)]
pub struct NodeTable(Mutex<BTreeMap<NodeId, Member>>);

impl NodeTable {
    /// The nodes found at an election, each with the benefit of the doubt from now on.
    pub fn new(nodes: impl IntoIterator<Item = Node>, now: Instant) -> Self {
        let member = |node: Node| (node.id, Member { node, health: Health::new(now) });
        Self(Mutex::new(nodes.into_iter().map(member).collect()))
    }

    /// A node that has just joined: what is known of an earlier life of it is forgotten. One that was heard in this life
    /// already stays what it is, for writes are placed on it.
    pub fn join(&self, node: Node, now: Instant) {
        let mut members = self.0.lock();
        let heard = members.get(&node.id).filter(|known| known.is_same_life(&node));
        let health = heard.map_or_else(|| Health::new(now), |known| known.health.clone().joins_again(now));
        members.insert(node.id, Member { node, health });
    }

    /// A registered node.
    pub fn get(&self, id: NodeId) -> Option<Member> {
        self.0.lock().get(&id).cloned()
    }

    /// Every registered node.
    pub fn all(&self) -> Vec<Member> {
        self.0.lock().values().cloned().collect()
    }

    /// Changes what is known of a node.
    pub fn update(&self, id: NodeId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.0.lock().get_mut(&id) {
            change(member);
        }
    }

    /// Registered nodes.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
