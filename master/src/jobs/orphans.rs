//! Deletes chunks that nodes keep and nothing names, and has those made that they do not keep although records name them:
//! the orphan sweep. It rests on no clock. A node lists first; what is
//! then named by nothing, in a state that was opened after the list ended, is garbage, and the command that says so applies
//! only if all that was read is still so.

mod absentees;
#[cfg(test)]
mod model;
mod sweep_plan;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::records::{ChunkPlace, Node};
use fail::fail_point;
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use sweep_plan::SweepPlan;

use super::Reconstruction;
use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::garbage::add_garbage;
use crate::inventory::{Claim, ListedChunk, claim_on, list_page};
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::records::SweepRecord;
use crate::state::{State, damaged, encode};
use crate::store::{Command, StoreSession};

/// Time from one page to the next, unless somebody waits.
const PAGE_INTERVAL: Duration = Duration::from_millis(500);
/// Chunks of one page.
const CHUNKS_PER_PAGE: u32 = 8_192;
/// Orphans that one command condemns.
const ORPHANS_PER_COMMAND: usize = 128;

/// The orphan sweep of one election, one page of one node's inventory at a time.
pub struct OrphanSweep {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    reconstruction: Arc<Reconstruction>,
    wanted: Arc<Notify>,
    plan: SweepPlan,
    /// The node that is being looked through, and the segment up to which it was.
    position: Option<Position>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    place: ChunkPlace,
    after: Option<SegmentId>,
}

impl OrphanSweep {
    /// Goes on where the election before ended. Each notice of `wanted` has every node looked through at once.
    pub fn load(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        nodes: Arc<Nodes>,
        reconstruction: Arc<Reconstruction>,
        period: Duration,
        wanted: Arc<Notify>,
    ) -> Result<Self, StateError> {
        let recorded = {
            let view = ledger.view()?;
            State(view.as_ref()).message::<SweepRecord>(keys::ORPHAN_SWEEP)?
        };
        let plan = SweepPlan::new(period);
        let mut sweep = Self { ledger, clock, nodes, reconstruction, wanted, plan, position: None };
        if let Some(recorded) = recorded {
            sweep.go_on_at(&recorded.record)?;
        }
        Ok(sweep)
    }

    /// Nodes in front of the recorded one are done.
    fn go_on_at(&mut self, record: &SweepRecord) -> Result<(), StateError> {
        let invalid = |error| damaged(keys::ORPHAN_SWEEP, &error);
        let reached = NodeId::from_wire(&record.node).map_err(invalid)?;
        let after = SegmentId::from_wire_opt(&record.after).map_err(invalid)?;
        let now = self.clock.now();
        for member in self.nodes.table().all() {
            if member.node.id < reached {
                self.plan.done(&member.node, now);
            }
        }
        self.position = self.nodes.table().get(reached).map(|member| Position { place: member.place(), after });
        Ok(())
    }

    /// Works until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(PAGE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wanted = Arc::clone(&self.wanted);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = wanted.notified() => self.sweep_now().await,
                _ = ticks.tick() => {
                    if let Err(error) = self.round().await {
                        tracing::warn!(%error, "the orphan sweep goes on in the next round");
                    }
                }
            }
        }
    }

    /// Looks through every node that answers, without a pause.
    async fn sweep_now(&mut self) {
        self.plan.begin_anew();
        self.position = None;
        loop {
            match self.round().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "the orphan sweep goes on in the next round");
                    return;
                }
            }
        }
    }

    /// One page of one node's inventory. `false`: none is due.
    pub async fn round(&mut self) -> Result<bool, Failure> {
        let Some(node) = self.due_node() else { return Ok(false) };
        let place = ChunkPlace { node: node.id, incarnation: node.incarnation };
        let after = self.position.filter(|position| position.place == place).and_then(|position| position.after);
        let page = match list_page(self.nodes.orders(), &node, after, CHUNKS_PER_PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(node = %node.name, %error, "no inventory: its orphans are swept later");
                self.plan.failed(node.id, self.clock.now());
                return Ok(true);
            }
        };
        self.look_for_absent(&node, after, &page).await?;
        let orphans = self.orphans(place, page.chunks).await?;
        if !orphans.is_empty() {
            fail_point!("orphans-found");
            self.condemn(&node, place, &orphans).await?;
            fail_point!("orphans-condemned");
        }
        self.position = page.continue_after.map(|after| Position { place, after: Some(after) });
        if self.position.is_none() {
            self.plan.done(&node, self.clock.now());
        }
        self.record().await?;
        Ok(true)
    }

    /// The node that was begun, if it is still due, else the next.
    fn due_node(&self) -> Option<Node> {
        let answering = self.nodes.answering();
        let now = self.clock.now();
        let is_begun = |node: &&Node| self.position.is_some_and(|position| position.place.node == node.id);
        let begun = answering.iter().find(is_begun).and_then(|node| self.plan.next(std::slice::from_ref(node), now));
        begun.or_else(|| self.plan.next(&answering, now)).cloned()
    }

    /// What nothing names of chunks that were listed, in a state opened now. Apart from the threads that serve requests.
    async fn orphans(&self, place: ChunkPlace, listed: Vec<ListedChunk>) -> Result<Vec<ListedChunk>, Failure> {
        let view = self.ledger.view()?;
        let looking = tokio::task::spawn_blocking(move || {
            let state = State(view.as_ref());
            let mut orphans = Vec::new();
            for chunk in listed {
                if claim_on(&state, place, &chunk)? == Claim::Orphan {
                    orphans.push(chunk);
                }
            }
            Ok::<_, StateError>(orphans)
        });
        Ok(looking.await.map_err(|error| Refusal::NotReady { why: error.to_string() })??)
    }

    /// Makes orphans garbage, unless something claims them by now.
    async fn condemn(&self, node: &Node, place: ChunkPlace, orphans: &[ListedChunk]) -> Result<(), Failure> {
        for batch in orphans.chunks(ORPHANS_PER_COMMAND) {
            let condemned = self.ledger.transact(|session| plan_condemning(session, place, batch)).await?.result;
            tracing::info!(node = %node.name, chunks = condemned, "chunks that nothing names are deleted");
        }
        Ok(())
    }

    /// Writes down how far the round is; nothing once every node is done.
    async fn record(&self) -> Result<(), Failure> {
        let reached = self.position.map(|position| (position.place.node, position.after));
        let reached = reached.or_else(|| self.due_node().map(|node| (node.id, None)));
        let record = reached.map(|(node, after)| SweepRecord {
            node: node.to_wire(),
            after: after.map(SegmentId::to_wire).unwrap_or_default(),
        });
        let mut command = Command::new();
        match record {
            Some(record) => command.put(keys::ORPHAN_SWEEP, encode(&record)),
            None => command.delete(keys::ORPHAN_SWEEP),
        };
        self.ledger.commit(command).await?;
        Ok(())
    }
}

/// Makes the chunks listed at `place` garbage as far as nothing claims them; answers how many. What was read is a condition
/// of the command: a repair that is begun there meanwhile, say, has it planned anew.
fn plan_condemning(session: &mut StoreSession, place: ChunkPlace, listed: &[ListedChunk]) -> Result<usize, Failure> {
    let mut condemned = 0;
    for chunk in listed {
        if claim_on(&State(session), place, chunk)? == Claim::Orphan {
            add_garbage(session, chunk.segment, [place])?;
            condemned += 1;
        }
    }
    Ok(condemned)
}
