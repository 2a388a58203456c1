use std::time::Duration;

use cairn_proto::ids::{ClusterId, NodeId};
use cairn_proto::records::Node;
use cairn_proto::{Refusal, wire};

use super::manager::Nodes;
use super::{JoinDecision, decide_join};
use crate::failure::Failure;

/// Nodes that may be registered.
const NODES_LIMIT: usize = 4096;
/// How long the old address of a moved node has to answer before the node counts as gone from there.
const PROBE_DEADLINE: Duration = Duration::from_secs(1);

impl Nodes {
    /// Registers a node, or takes note of its new life. When this returns, the record is durable.
    pub async fn join(&self, cluster: Option<ClusterId>, joining: wire::NodeInfo) -> Result<ClusterId, Failure> {
        let _writing = self.writing.lock().await;
        let id = NodeId::from_wire(&joining.id).map_err(Refusal::from)?;
        let address = joining.address.clone();
        let joined = self.let_in(id, cluster, joining).await;
        if let Err(Failure::Refused(refusal @ (Refusal::ForeignCluster { .. } | Refusal::InvalidRequest { .. }))) =
            &joined
        {
            self.note_refusal(id, &address, refusal).await;
        }
        joined
    }

    async fn let_in(
        &self,
        id: NodeId,
        cluster: Option<ClusterId>,
        joining: wire::NodeInfo,
    ) -> Result<ClusterId, Failure> {
        loop {
            let recorded = self.recorded(id)?;
            if recorded.is_none() && self.registered().len() >= NODES_LIMIT {
                let why = format!("{NODES_LIMIT} nodes are registered, which is the limit");
                return Err(Refusal::NotReady { why }.into());
            }
            let before = recorded.as_ref().map(|recorded| &recorded.record);
            let node = match decide_join(self.orders.cluster(), cluster, before, joining.clone())? {
                JoinDecision::Known(node) => return Ok(self.joined(node)),
                JoinDecision::Register(node) => node,
                JoinDecision::RegisterUnlessAlive(node) => {
                    self.refuse_if_alive(before, &node).await?;
                    node
                }
            };
            if self.write(&node, recorded.as_ref()).await? {
                tracing::info!(node = %node.name, id = %node.id, address = %node.address, "node joined");
                return Ok(self.joined(node));
            }
        }
    }

    fn joined(&self, node: Node) -> ClusterId {
        let id = node.id;
        self.table.join(node, self.clock.now(), self.clock.unix_ms());
        self.newcomers.add(id);
        self.orders.cluster()
    }

    /// Refuses when the same node answers at the address in its record: its data was copied.
    async fn refuse_if_alive(&self, recorded: Option<&Node>, joining: &Node) -> Result<(), Failure> {
        let Some(recorded) = recorded else { return Ok(()) };
        let Ok(answer) = self.orders.get_stats(recorded, 0, PROBE_DEADLINE).await else { return Ok(()) };
        let found = answer.node.unwrap_or_default();
        if found.id == recorded.id.as_bytes().as_slice() && found.boot != joining.boot.as_bytes().as_slice() {
            let why = format!("node {} is alive at {}; data copied?", recorded.id, recorded.address);
            return Err(Refusal::InvalidRequest { why }.into());
        }
        Ok(())
    }
}
