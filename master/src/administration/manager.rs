use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::ids::NodeId;
use cairn_proto::records::ChunkPlace;
use cairn_proto::wire::NodeState;
use cairn_proto::{Refusal, wire};
use fail::fail_point;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::Mutex;

use super::{DrainPlan, DrainPlanner, RemovalCost, RemovalHindrance, take_removal_cost};
use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::jobs::Reconstruction;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::{Intent, Member, Nodes};
use crate::sessions::Sessions;
use crate::state::{State, decode_segment};
use crate::status::CensusTaker;

/// What an administrator has nodes do, in one election.
pub struct NodeAdministration {
    pub(super) ledger: Ledger,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) sessions: Arc<Sessions>,
    pub(super) census: Arc<CensusTaker>,
    pub(super) reconstruction: Arc<Reconstruction>,
    default_layout: Layout,
    /// Held from a decision to its record: two nodes that could each be emptied alone may not both.
    deciding: Mutex<()>,
}

impl NodeAdministration {
    /// For the nodes of one election.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        nodes: Arc<Nodes>,
        sessions: Arc<Sessions>,
        census: Arc<CensusTaker>,
        reconstruction: Arc<Reconstruction>,
        default_layout: Layout,
    ) -> Self {
        Self { ledger, clock, nodes, sessions, census, reconstruction, default_layout, deciding: Mutex::default() }
    }

    pub(super) fn member(&self, id: NodeId) -> Result<Member, Refusal> {
        self.nodes.table().get(id).ok_or_else(|| Refusal::InvalidRequest { why: format!("no node {id}") })
    }

    /// What emptying a node takes.
    pub async fn plan_drain(&self, id: NodeId) -> Result<DrainPlan, Failure> {
        let leaving = self.member(id)?.place();
        let takers = self.nodes.candidates().0;
        let known = self.nodes.keepers(self.nodes.table().all().into_iter().map(|member| member.node.id));
        let (view, layout) = (self.ledger.view()?, self.default_layout);
        let planning = tokio::task::spawn_blocking(move || {
            let mut planner = DrainPlanner::new(leaving, takers, known, StdRng::seed_from_u64(0));
            State(view.as_ref()).each(keys::SEGMENTS, |key, found| {
                planner.add(&decode_segment(key, &found.record)?);
                Ok(())
            })?;
            Ok::<_, StateError>(planner.finish(&layout))
        });
        Ok(planning.await.map_err(|_| stopping())??)
    }

    /// Sets what a node is to be.
    pub async fn set_intent(
        &self,
        id: NodeId,
        wanted: NodeState,
        maintenance: Duration,
    ) -> Result<wire::NodeInfo, Failure> {
        let _deciding = self.deciding.lock().await;
        let intent = match wanted {
            NodeState::Active => Intent::Active,
            NodeState::ReadOnly => Intent::ReadOnly,
            NodeState::Maintenance => Intent::Maintenance { duration: maintenance },
            NodeState::Draining => self.draining(id).await?,
            _ => return Err(Refusal::InvalidRequest { why: "no node can be told to be so".to_owned() }.into()),
        };
        self.nodes.set_intent(id, intent).await
    }

    /// Refuses unless the node can be emptied; one that is being emptied goes on.
    async fn draining(&self, id: NodeId) -> Result<Intent, Failure> {
        let plan = self.plan_drain(id).await?;
        let is_draining = self.member(id)?.node.intended_state == NodeState::Draining;
        match plan.hindrance.filter(|_| !is_draining) {
            Some(hindrance) => Err(Refusal::NodeRefused { why: hindrance.to_string() }.into()),
            None => Ok(Intent::Draining { bytes: plan.held.bytes }),
        }
    }

    /// What the removal of a node costs, and what stands against it.
    pub async fn plan_removal(&self, id: NodeId) -> Result<(RemovalCost, Option<RemovalHindrance>), Failure> {
        let member = self.member(id)?;
        let now = self.clock.now();
        let (state, intended) = (self.nodes.state_of(&member), member.intended(now));
        let may_be_written = self.may_be_written(&member)?;
        let cost = self.removal_cost(member.place()).await?;
        Ok((cost, RemovalHindrance::of(&member.node.name, state, intended, cost, may_be_written)))
    }

    /// Removes a node for ever; one that is removed already is a success.
    pub async fn remove(&self, id: NodeId, accept_loss: bool) -> Result<RemovalCost, Failure> {
        let _deciding = self.deciding.lock().await;
        let member = self.member(id)?;
        if member.node.intended_state == NodeState::Removed {
            return Ok(RemovalCost::default());
        }
        let (cost, hindrance) = self.plan_removal(id).await?;
        if let Some(hindrance) = hindrance.filter(|hindrance| !(accept_loss && hindrance.can_be_forced())) {
            self.reconstruction.look_again_at(member.place());
            return Err(Refusal::NodeRefused { why: hindrance.to_string() }.into());
        }
        self.nodes.set_intent(id, Intent::Removed).await?;
        fail_point!("node-removed");
        // From here on no commit can name it; one that came in between is seen now.
        if !accept_loss && self.removal_cost(member.place()).await?.chunks > 0 {
            self.nodes.reinstate(&member.node).await?;
            let why = format!("a file was stored on {} just now; ask again when it is moved", member.node.name);
            return Err(Refusal::NodeRefused { why }.into());
        }
        Ok(cost)
    }

    async fn removal_cost(&self, place: ChunkPlace) -> Result<RemovalCost, Failure> {
        let members = self.nodes.members_with_state();
        let registered = members.into_iter().filter(|(_, state)| *state != NodeState::Removed);
        let others: HashSet<ChunkPlace> =
            registered.map(|(member, _)| member.place()).filter(|other| *other != place).collect();
        let view = self.ledger.view()?;
        let counting = tokio::task::spawn_blocking(move || {
            take_removal_cost(&State(view.as_ref()), place, &|other| others.contains(&other))
        });
        Ok(counting.await.map_err(|_| stopping())??)
    }

    /// Whether a write that began before the node was to be something else may still be committed there: one is known, or
    /// some client has not told of its writes since.
    pub(super) fn may_be_written(&self, member: &Member) -> Result<bool, Failure> {
        let Some((version, _)) = self.nodes.record_of(member.node.id)? else { return Ok(false) };
        Ok(self.nodes.has_open_writes(member.node.id) || !self.sessions.table().all_past(version, &[]))
    }
}

fn stopping() -> Refusal {
    Refusal::NotReady { why: "this master is stopping".to_owned() }
}
