use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::NodeId;
use cairn_proto::wire::{NodeEvent, NodeEventKind};
use tokio::time::Instant;

use super::{Conditions, EventLog, Happening};
use crate::failure::Failure;
use crate::nodes::{Member, Nodes};
use crate::state::State;
use crate::store::StoreSession;

/// How long a node's conditions are let change before the next change is noted: one that fills up and is cleared all the
/// time costs no more than this many commands.
const NOTE_PAUSE: Duration = Duration::from_secs(10);

impl Nodes {
    /// The latest events of a node, the oldest first.
    pub fn events(&self, id: NodeId) -> Result<Vec<NodeEvent>, Failure> {
        let view = self.ledger.view()?;
        let state = State(view.as_ref());
        state.node(id)?.ok_or_else(|| Refusal::InvalidRequest { why: format!("no node {id}") })?;
        Ok(EventLog::read(state, id)?.into_events())
    }

    /// Notes that somebody was not let in who says to be a registered node. Told again and again, it is one event.
    pub(in crate::nodes) async fn note_refusal(&self, id: NodeId, address: &str, refusal: &Refusal) {
        let detail = format!("a process at {address} says to be it: {refusal}");
        let happening = Happening::new(NodeEventKind::Refused, detail);
        let plan = |session: &mut StoreSession| {
            let state = State(session);
            if state.node(id)?.is_some() && !EventLog::read(state, id)?.goes_on(&happening) {
                EventLog::append(session, id, std::slice::from_ref(&happening), self.clock.unix_ms())?;
            }
            Ok(())
        };
        if let Err(error) = self.ledger.transact(plan).await {
            tracing::warn!(node = %id, %error, "the refusal of a node was not noted");
        }
    }

    /// Notes which nodes have begun or ceased to be damaged, or to refuse writes.
    pub(in crate::nodes) async fn note_conditions(&self) {
        let now = self.clock.now();
        let to_note: Vec<NodeId> = self.table.pick(|member| changed_conditions(member, now).then_some(member.node.id));
        for id in to_note {
            if let Err(error) = self.note_conditions_of(id, now).await {
                tracing::warn!(node = %id, %error, "what a node says of itself was not noted");
            }
        }
    }

    async fn note_conditions_of(&self, id: NodeId, now: Instant) -> Result<(), Failure> {
        let Some(Some(stats)) = self.table.look(id, |member| member.health.stats().cloned()) else { return Ok(()) };
        let conditions = Conditions::of(&stats);
        let plan = |session: &mut StoreSession| {
            let untold = conditions.untold(&stats, &EventLog::read(State(session), id)?);
            Ok(EventLog::append(session, id, &untold, self.clock.unix_ms())?)
        };
        self.ledger.transact(plan).await?;
        self.table.update(id, |member| member.noted = Some((conditions, now)));
        Ok(())
    }
}

/// Whether a node says something else of itself than was last noted in this election.
fn changed_conditions(member: &Member, now: Instant) -> bool {
    let Some(stats) = member.health.stats() else { return false };
    member
        .noted
        .is_none_or(|(noted, at)| noted != Conditions::of(stats) && now.saturating_duration_since(at) >= NOTE_PAUSE)
}
