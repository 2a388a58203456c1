use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_proto::ids::NodeId;
use cairn_proto::records::Node;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::health::Health;
use super::member::Member;

/// The registered nodes of one election. As large as the `node/` records.
#[derive(Debug, Default)]
pub struct NodeTable {
    members: Mutex<BTreeMap<NodeId, Member>>,
    intents: AtomicU64,
}

impl NodeTable {
    /// The nodes found at an election, each with the benefit of the doubt from now on. The wall clock says `unix_ms`.
    pub fn new(nodes: impl IntoIterator<Item = Node>, now: Instant, unix_ms: u64) -> Self {
        let member = |node: Node| (node.id, Member::new(node, Health::new(now), now, unix_ms));
        Self { members: Mutex::new(nodes.into_iter().map(member).collect()), intents: AtomicU64::new(0) }
    }

    /// A node that has just joined: what is known of an earlier life of it is forgotten. One that was heard in this life
    /// already stays what it is, for writes are placed on it.
    pub fn join(&self, node: Node, now: Instant, unix_ms: u64) {
        let mut members = self.members.lock();
        let known = members.get(&node.id);
        let heard = known.filter(|known| known.is_same_life(&node));
        let health = heard.map_or_else(|| Health::new(now), |known| known.health.clone().joins_again(now));
        let counted = known.filter(|known| known.node.maintenance == node.maintenance);
        let maintenance_ends = counted.and_then(|known| known.maintenance_ends);
        let mut member = Member::new(node, health, now, unix_ms);
        member.maintenance_ends = maintenance_ends.or(member.maintenance_ends);
        members.insert(member.node.id, member);
    }

    /// What a node is to be from now on is as this record says.
    pub fn intend(&self, node: Node, now: Instant, unix_ms: u64) {
        self.update(node.id, |member| {
            let node = Node { boot: member.node.boot, state: member.node.state, ..node };
            *member = Member::new(node, member.health.clone(), now, unix_ms);
        });
        self.intents.fetch_add(1, Ordering::SeqCst);
    }

    /// How often it was changed what a node is to be, in this election.
    pub fn intents(&self) -> u64 {
        self.intents.load(Ordering::SeqCst)
    }

    /// A registered node.
    pub fn get(&self, id: NodeId) -> Option<Member> {
        self.members.lock().get(&id).cloned()
    }

    /// What a look at a registered node shows.
    pub fn look<T>(&self, id: NodeId, look: impl FnOnce(&Member) -> T) -> Option<T> {
        self.members.lock().get(&id).map(look)
    }

    /// Every registered node.
    pub fn all(&self) -> Vec<Member> {
        self.members.lock().values().cloned().collect()
    }

    /// What is picked of the registered nodes, by a look at each: no node is copied. To be short, for others wait.
    pub fn pick<T, C: FromIterator<T>>(&self, pick: impl FnMut(&Member) -> Option<T>) -> C {
        self.members.lock().values().filter_map(pick).collect()
    }

    /// Changes what is known of a node.
    pub fn update(&self, id: NodeId, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.members.lock().get_mut(&id) {
            change(member);
        }
    }

    /// Registered nodes, and those that were removed.
    pub fn len(&self) -> usize {
        self.members.lock().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
