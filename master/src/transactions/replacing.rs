use std::collections::HashSet;

use cairn_proto::ids::{NodeId, SessionId};
use cairn_proto::{Refusal, wire};

use super::opening::{AVOIDED_LIMIT, PLACEMENT_TRIES};
use super::{NamedTransaction, Opener};
use crate::failure::Failure;
use crate::scheduler::{Candidate, place_beside};

/// A request for a node in place of one that was lost in mid-write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceRequest {
    /// The transaction, with every node that cells were sent to.
    pub open: NamedTransaction,
    /// Those of its nodes that keep their chunks.
    pub kept: Vec<NodeId>,
    /// Nodes that just failed this client.
    pub avoid: Vec<NodeId>,
}

impl TryFrom<wire::ReplaceTargetRequest> for ReplaceRequest {
    type Error = Refusal;

    fn try_from(request: wire::ReplaceTargetRequest) -> Result<Self, Refusal> {
        let invalid = |why: &str| Refusal::InvalidRequest { why: why.to_owned() };
        if request.kept_nodes.len().max(request.avoid_nodes.len()) > AVOIDED_LIMIT {
            return Err(invalid("too many nodes"));
        }
        let open = request.open.ok_or_else(|| invalid("transaction is missing"))?;
        let ids = |nodes: &[bytes::Bytes]| nodes.iter().map(|id| NodeId::from_wire(id)).collect::<Result<_, _>>();
        Ok(Self { open: open.try_into()?, kept: ids(&request.kept_nodes)?, avoid: ids(&request.avoid_nodes)? })
    }
}

impl ReplaceRequest {
    /// Whose it is.
    pub fn session(&self) -> SessionId {
        self.open.id.session
    }
}

impl Opener {
    /// Another node for an open transaction, which counts as one of its places from then on: what is sent there is
    /// cleared with the rest if the commit does not name it.
    pub async fn replace(&self, request: &ReplaceRequest) -> Result<wire::NodeInfo, Failure> {
        let transaction = request.open.id;
        self.nodes.first_round().await;
        let mut failed: HashSet<NodeId> = request.open.nodes.iter().copied().collect();
        for _ in 0..PLACEMENT_TRIES {
            let node = self.place_beside(request, &failed)?;
            let Ok(boot) = self.nodes.admit(transaction.session, node).await else {
                failed.insert(node);
                continue;
            };
            let info = self.target_info(Some((node, boot)))?;
            let place = self.nodes.table().get(node).map(|member| member.place());
            if place.is_none_or(|place| !self.table.add_place(transaction, request.open.segment, place)) {
                return Err(Refusal::InvalidRequest { why: format!("transaction {transaction} is not open") }.into());
            }
            return Ok(info);
        }
        Err(Refusal::NotReady { why: "nodes keep failing while a lost one is replaced".to_owned() }.into())
    }

    fn place_beside(&self, request: &ReplaceRequest, failed: &HashSet<NodeId>) -> Result<NodeId, Refusal> {
        let (mut candidates, missing) = self.nodes.candidates();
        candidates.retain(|candidate| !failed.contains(&candidate.node));
        let wanted: Vec<Candidate> =
            candidates.iter().filter(|candidate| !request.avoid.contains(&candidate.node)).cloned().collect();
        let kept = self.nodes.keepers(request.kept.iter().copied());
        let room = self.table.get(request.open.id).map_or(0, |open| open.reserved_bytes());
        let random = &mut rand::rng();
        place_beside(&kept, &wanted, &missing, room, self.score, random)
            .or_else(|_| place_beside(&kept, &candidates, &missing, room, self.score, random))
            .map_err(Refusal::from)
    }
}
