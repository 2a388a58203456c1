use cairn_proto::ids::NodeId;
use cairn_proto::wire;

use super::NodeAdministration;
use crate::failure::Failure;
use crate::status::Held;

impl NodeAdministration {
    /// What emptying a node takes, for people.
    pub async fn tell_drain(&self, id: NodeId) -> Result<wire::PlanDrainResponse, Failure> {
        let plan = self.plan_drain(id).await?;
        let targets = plan.targets.iter().filter_map(|(id, held)| Some((self.nodes.table().get(*id)?, held)));
        let target = |(member, held): (crate::nodes::Member, &Held)| wire::DrainTarget {
            node: member.node.id.to_wire(),
            name: member.node.name.clone(),
            chunks: held.chunks,
            bytes: held.bytes,
            free_bytes: member.room().1,
        };
        Ok(wire::PlanDrainResponse {
            chunks: plan.held.chunks,
            bytes: plan.held.bytes,
            free_bytes: plan.free_bytes,
            targets: targets.map(target).collect(),
            hindrance: plan.hindrance.map(|hindrance| hindrance.to_string()).unwrap_or_default(),
        })
    }

    /// What the removal of a node costs, for people.
    pub async fn tell_removal(&self, id: NodeId) -> Result<wire::PlanRemovalResponse, Failure> {
        let (cost, hindrance) = self.plan_removal(id).await?;
        Ok(wire::PlanRemovalResponse {
            chunks: cost.chunks,
            blobs: cost.blobs,
            lost_blobs: cost.lost_blobs,
            can_be_forced: hindrance.as_ref().is_some_and(super::RemovalHindrance::can_be_forced),
            hindrance: hindrance.map(|hindrance| hindrance.to_string()).unwrap_or_default(),
        })
    }
}
