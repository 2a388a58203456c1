use std::collections::HashMap;
use std::time::Duration;

use cairn_proto::ids::{BootId, IncarnationId, NodeId};
use cairn_proto::records::Node;
use tokio::time::Instant;

/// How long a node that does not list what it has is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Which node's inventory is looked through next. Each is due once in a period, and at once in a new life of its process,
/// whose data may have been brought back from elsewhere.
#[derive(Debug)]
pub(super) struct SweepPlan {
    period: Duration,
    swept: HashMap<NodeId, Swept>,
    put_off: HashMap<NodeId, Instant>,
}

#[derive(Debug)]
struct Swept {
    life: (IncarnationId, BootId),
    due: Instant,
}

impl SweepPlan {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, swept: HashMap::new(), put_off: HashMap::new() }
    }

    /// The first of the nodes, in their order, that is due.
    pub(super) fn next<'a>(&self, nodes: &'a [Node], now: Instant) -> Option<&'a Node> {
        nodes.iter().find(|node| self.is_due(node, now))
    }

    fn is_due(&self, node: &Node, now: Instant) -> bool {
        let is_put_off = self.put_off.get(&node.id).is_some_and(|until| now < *until);
        let is_swept = self.swept.get(&node.id).is_some_and(|swept| swept.life == life(node) && now < swept.due);
        !is_put_off && !is_swept
    }

    /// All of the node's inventory was looked through.
    pub(super) fn done(&mut self, node: &Node, now: Instant) {
        self.swept.insert(node.id, Swept { life: life(node), due: now + self.period });
        self.put_off.remove(&node.id);
    }

    /// The node does not list what it has.
    pub(super) fn failed(&mut self, node: NodeId, now: Instant) {
        self.put_off.insert(node, now + RETRY_AFTER);
    }

    /// Every node is due at once.
    pub(super) fn begin_anew(&mut self) {
        self.swept.clear();
        self.put_off.clear();
    }
}

fn life(node: &Node) -> (IncarnationId, BootId) {
    (node.incarnation, node.boot)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_proto::ids::{BootId, IncarnationId, NodeId};
    use cairn_proto::records::Node;
    use tokio::time::Instant;

    use super::{RETRY_AFTER, SweepPlan};
    use crate::fakes::node_record;

    const PERIOD: Duration = Duration::from_hours(1);

    fn node(number: u8) -> Node {
        Node {
            id: NodeId::from_bytes([number; 16]),
            incarnation: IncarnationId::from_bytes([1; 16]),
            boot: BootId::from_bytes([1; 16]),
            ..node_record()
        }
    }

    #[test]
    fn each_node_is_due_once_in_a_period() {
        let (mut plan, now, nodes) = (SweepPlan::new(PERIOD), Instant::now(), [node(1), node(2)]);
        for expected in &nodes {
            let due = plan.next(&nodes, now).unwrap().clone();
            assert_eq!(due, *expected);
            plan.done(&due, now);
        }
        assert_eq!(plan.next(&nodes, now), None);
        assert_eq!(plan.next(&nodes, now + PERIOD), Some(&nodes[0]));
        plan.begin_anew();
        assert_eq!(plan.next(&nodes, now), Some(&nodes[0]));
    }

    #[test]
    fn a_node_that_comes_back_is_due_at_once() {
        let (mut plan, now) = (SweepPlan::new(PERIOD), Instant::now());
        plan.done(&node(1), now);
        let restarted = Node { boot: BootId::from_bytes([2; 16]), ..node(1) };
        assert!(plan.next(&[restarted], now).is_some());
        let wiped = Node { incarnation: IncarnationId::from_bytes([2; 16]), ..node(1) };
        assert!(plan.next(&[wiped], now).is_some());
    }

    #[test]
    fn a_node_that_fails_holds_up_no_other() {
        let (mut plan, now, nodes) = (SweepPlan::new(PERIOD), Instant::now(), [node(1), node(2)]);
        plan.failed(nodes[0].id, now);
        assert_eq!(plan.next(&nodes, now), Some(&nodes[1]));
        assert_eq!(plan.next(&nodes, now + RETRY_AFTER), Some(&nodes[0]));
    }
}
