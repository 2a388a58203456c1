use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::records::ChunkPlace;
use cairn_proto::wire::{self, NodeState};

use super::{Flaw, Member, Nodes};

/// How long a node has to begin.
const START_DEADLINE: Duration = Duration::from_secs(5);

impl Nodes {
    /// The chunks of which their nodes say that they are damaged, as far as told.
    pub fn flaws(&self) -> Vec<(ChunkPlace, Flaw)> {
        let of = |member: &Member| {
            let place = member.place();
            let flaws =
                member.health.stats().map(|stats| Arc::clone(&stats.flaws)).filter(|flaws| !flaws.is_empty())?;
            Some((place, flaws))
        };
        let damaged: Vec<(ChunkPlace, Arc<[Flaw]>)> = self.table.pick(of);
        damaged.iter().flat_map(|(place, flaws)| flaws.iter().map(move |flaw| (*place, *flaw))).collect()
    }

    /// A damaged chunk was put right at its node.
    pub fn mended(&self, node: NodeId, segment: SegmentId) {
        self.table.update(node, |member| member.health.mended(segment));
    }

    /// How each node verifies what it keeps.
    pub fn scrubs(&self) -> Vec<wire::NodeScrub> {
        let members = self.members_with_state().into_iter();
        let members = members.filter(|(_, state)| *state != NodeState::Removed);
        let scrub = |(member, state): (Member, NodeState)| wire::NodeScrub {
            node: member.node.id.to_wire(),
            name: member.node.name.clone(),
            state: state.into(),
            status: member.health.stats().map(|stats| stats.scrub.clone()),
        };
        members.map(scrub).collect()
    }

    /// Has nodes verify all that they keep: those named, or all that answer.
    pub async fn start_scrubs(&self, request: wire::StartScrubsRequest) -> wire::StartScrubsResponse {
        let members = self.table.all();
        let is_named =
            |member: &Member, name: &String| member.node.name == *name || member.node.id.to_string() == *name;
        let (mut started, mut failed) = (Vec::new(), Vec::new());
        for name in &request.nodes {
            if !members.iter().any(|member| is_named(member, name)) {
                failed.push(format!("{name}: no node has this name or id"));
            }
        }
        let wanted = members.iter().filter(|member| {
            let named = request.nodes.iter().any(|name| is_named(member, name));
            named || (request.nodes.is_empty() && self.answers(member.node.id))
        });
        let starts = wanted.map(|member| async {
            let name = member.node.name.clone();
            let begun = self.orders.start_scrub(&member.node, request.bytes_per_second, START_DEADLINE).await;
            (name, begun)
        });
        for (name, begun) in futures_util::future::join_all(starts).await {
            match begun {
                Ok(()) => started.push(name),
                Err(error) => failed.push(format!("{name}: {error}")),
            }
        }
        wire::StartScrubsResponse { started, failed }
    }
}
