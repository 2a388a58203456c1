use cairn_proto::ids::NodeId;
use cairn_proto::records::Node;
use cairn_proto::wire::NodeState;
use cairn_proto::{Refusal, wire};
use fail::fail_point;

use super::manager::Nodes;
use super::{Intent, Member, decide_intent};
use crate::failure::Failure;

impl Nodes {
    /// Sets what a node is to be. When this returns, the record is durable.
    pub async fn set_intent(&self, id: NodeId, intent: Intent) -> Result<wire::NodeInfo, Failure> {
        let _writing = self.writing.lock().await;
        self.intend(id, intent).await
    }

    /// Takes a maintenance that is over from the record, unless another was asked for meanwhile.
    pub(super) async fn end_maintenance(&self, id: NodeId) -> Result<(), Failure> {
        let _writing = self.writing.lock().await;
        if self.table.get(id).is_some_and(|member| member.maintenance_is_over(self.clock.now())) {
            self.intend(id, Intent::Active).await?;
        }
        Ok(())
    }

    async fn intend(&self, id: NodeId, intent: Intent) -> Result<wire::NodeInfo, Failure> {
        loop {
            let unknown = || Refusal::InvalidRequest { why: format!("no node {id}") };
            let recorded = self.recorded(id)?.ok_or_else(unknown)?;
            let node = decide_intent(&recorded.record, intent, self.clock.unix_ms())?;
            if node != recorded.record {
                if !self.write(&node, Some(&recorded)).await? {
                    continue;
                }
                fail_point!("node-intent-recorded");
                let intended = node.intended_state.as_str_name();
                tracing::info!(node = %node.name, id = %node.id, intended, "a node is to be something else");
            }
            self.table.intend(node, self.clock.now(), self.clock.unix_ms());
            return Ok(self.info(id).ok_or_else(unknown)?);
        }
    }

    /// Whether an open write has a place on a node.
    pub fn has_open_writes(&self, id: NodeId) -> bool {
        self.transactions.reserved_bytes(id) > 0
    }

    /// Open writes with a place on a node.
    pub fn open_writes(&self, id: NodeId) -> usize {
        self.transactions.count_at(id)
    }

    /// What a node is now.
    pub fn state_of(&self, member: &Member) -> NodeState {
        member.state(self.clock.now(), &self.timing)
    }

    /// Takes the removal of a node back: its record says again what it said before.
    pub async fn reinstate(&self, before: &Node) -> Result<(), Failure> {
        let _writing = self.writing.lock().await;
        while let Some(recorded) = self.recorded(before.id)? {
            let node = Node {
                intended_state: before.intended_state,
                drained_from_bytes: before.drained_from_bytes,
                ..recorded.record.clone()
            };
            if self.write(&node, Some(&recorded)).await? {
                self.table.intend(node, self.clock.now(), self.clock.unix_ms());
                return Ok(());
            }
        }
        Ok(())
    }

    /// Log index of the last write of a node's record, with the record.
    pub fn record_of(&self, id: NodeId) -> Result<Option<(u64, Node)>, Failure> {
        Ok(self.recorded(id)?.map(|found| (found.version, found.record)))
    }
}
