use cairn_proto::wire::{self, NodeState};

use super::NodeAdministration;
use crate::failure::Failure;
use crate::nodes::Member;
use crate::status::Held;

impl NodeAdministration {
    /// Every node but the removed, and what lies on each.
    pub async fn list(&self) -> Result<Vec<wire::NodeStatus>, Failure> {
        let holdings = self.census.census().await?.holdings;
        let eta_s = self.eta_s();
        let registered = self.nodes.members_with_state().into_iter().filter(|(_, state)| *state != NodeState::Removed);
        registered.map(|(member, _)| self.status(&member, holdings.at(member.place()), eta_s)).collect()
    }

    fn status(&self, member: &Member, held: Held, eta_s: Option<u64>) -> Result<wire::NodeStatus, Failure> {
        let id = member.node.id;
        let is_draining = member.node.intended_state == NodeState::Draining;
        let drained = is_draining
            && held.chunks == 0
            && self.reconstruction.is_unnamed(member.place())
            && !self.may_be_written(member)?;
        Ok(wire::NodeStatus {
            node: self.nodes.info(id),
            chunks: held.chunks,
            chunk_bytes: held.bytes,
            stored_chunks: member.health.stats().map_or(0, |stats| stats.sealed_chunks),
            open_writes: self.nodes.open_writes(id) as u64,
            drained,
            eta_s: eta_s.filter(|_| is_draining && !drained),
        })
    }

    /// How long all repairs and moves that are known take, at the rate of the last seconds.
    fn eta_s(&self) -> Option<u64> {
        let heal = self.reconstruction.report();
        (heal.pending_bytes + heal.moving_bytes).checked_div(heal.rate_bytes_per_s)
    }
}
