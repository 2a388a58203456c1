//! Moves chunks from fuller nodes to emptier ones, when there is nothing else to move or to rebuild.

mod balance;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use cairn_proto::wire::NodeState;
use cairn_proto::{Refusal, wire};
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

pub(super) use balance::Move;
use balance::{Balance, BalancedNode};

use super::Reconstruction;
use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::records::RebalanceRecord;
use crate::state::{State, decode_segment, encode};
use crate::status::Holdings;
use crate::store::StoreSession;

/// Time from the end of one round to the start of the next.
const ROUND_INTERVAL: Duration = Duration::from_secs(1);
/// Chunks that one round moves, so that what is more urgent does not wait for long.
const MOVES_PER_ROUND: usize = 32;
/// Of those, at a time.
const MOVES_AT_ONCE: usize = 2;
/// Segments that one round looks at.
const SEGMENTS_PER_ROUND: usize = 1024;
/// How often it is looked whether nodes differ, at most: each time, every segment is read.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How much longer than a look the pause after it is, at least.
const LOOK_PAUSES: u32 = 20;
/// How long nothing is tried after a pass over all segments that found nothing to move, although nodes differ.
const FRUITLESS_PAUSE: Duration = Duration::from_mins(5);

/// The rebalancing of one election. What is to be moved is seen in the records; only the place of the pass is in memory.
pub struct Rebalancing {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    reconstruction: Arc<Reconstruction>,
    pass: Mutex<Pass>,
}

/// A pass over all segments.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pass {
    /// None is under way, nor begins before a time.
    Resting { until: Option<Instant> },
    /// The next segments are from here on.
    Running { from: Bytes, balance: Balance, has_moved: bool },
}

/// What one page of segments came to.
struct Page {
    chosen: Vec<(SegmentId, Move)>,
    /// Where the next page starts; `None` at the end.
    next: Option<Bytes>,
}

impl Rebalancing {
    /// The job of one election.
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, nodes: Arc<Nodes>, reconstruction: Arc<Reconstruction>) -> Self {
        Self { ledger, clock, nodes, reconstruction, pass: Mutex::new(Pass::Resting { until: None }) }
    }

    /// Works until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(ROUND_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            loop {
                match self.round().await {
                    Ok(0) => break,
                    Ok(moved) => tracing::debug!(moved, "chunks moved to emptier nodes"),
                    Err(error) => {
                        tracing::warn!(%error, "rebalancing goes on in the next round");
                        break;
                    }
                }
            }
        }
    }

    /// Whether an administrator has stopped it.
    pub fn is_stopped(&self) -> Result<bool, StateError> {
        let view = self.ledger.view()?;
        let record = State(view.as_ref()).message::<RebalanceRecord>(keys::REBALANCING)?;
        Ok(record.is_some_and(|found| found.record.stopped))
    }

    /// Stops it, or lets it go on; moves under way come to their end.
    pub async fn set_stopped(&self, stopped: bool) -> Result<(), Failure> {
        let plan = |session: &mut StoreSession| {
            session.put(Bytes::from_static(keys::REBALANCING), encode(&RebalanceRecord { stopped }));
            Ok(())
        };
        self.ledger.transact(plan).await?;
        *self.pass.lock() = Pass::Resting { until: None };
        Ok(())
    }

    /// How it goes.
    pub fn report(&self) -> Result<wire::GetRebalanceResponse, StateError> {
        let is_running = matches!(*self.pass.lock(), Pass::Running { .. });
        let moved_chunks = self.reconstruction.report().moved_chunks;
        Ok(wire::GetRebalanceResponse { stopped: self.is_stopped()?, running: is_running, moved_chunks })
    }

    /// One page of segments: decides what moves and moves it. Answers how many chunks moved.
    pub async fn round(&self) -> Result<usize, Failure> {
        if !self.reconstruction.is_idle() || self.is_stopped()? {
            return Ok(0);
        }
        let now = self.clock.now();
        let pass = self.pass.lock().clone();
        let (from, mut balance, has_moved) = match pass {
            Pass::Resting { until } if until.is_some_and(|until| now < until) => return Ok(0),
            Pass::Resting { .. } => {
                let balance = self.balance().await?;
                if !balance.is_uneven() {
                    *self.pass.lock() = self.resting_after_look(now);
                    return Ok(0);
                }
                (Bytes::from_static(keys::SEGMENTS), balance, false)
            }
            Pass::Running { from, balance, has_moved } => (from, balance, has_moved),
        };
        let Page { chosen, next } = self.choose(&mut balance, &from)?;
        let moved = self.carry_out(chosen).await;
        let has_moved = has_moved || moved.iter().any(|moved| matches!(moved, Ok(true)));
        let next = match next {
            Some(from) => Pass::Running { from, balance, has_moved },
            None => self.next_pass(has_moved, now).await?,
        };
        *self.pass.lock() = next;
        let moved: Vec<bool> = moved.into_iter().collect::<Result<_, _>>()?;
        Ok(moved.into_iter().filter(|moved| *moved).count())
    }

    /// After the last segment: once more from the first, on what the records say then, until the nodes are even or nothing
    /// is left that may move.
    async fn next_pass(&self, has_moved: bool, now: Instant) -> Result<Pass, Failure> {
        let balance = self.balance().await?;
        Ok(match has_moved {
            _ if balance.is_even() => self.resting_after_look(self.clock.now()),
            true => Pass::Running { from: Bytes::from_static(keys::SEGMENTS), balance, has_moved: false },
            false => Pass::Resting { until: Some(now + FRUITLESS_PAUSE) },
        })
    }

    /// Until the next look, when one was begun at `begun`.
    fn resting_after_look(&self, begun: Instant) -> Pass {
        let now = self.clock.now();
        Pass::Resting { until: Some(now + LOOK_INTERVAL.max(LOOK_PAUSES * now.duration_since(begun))) }
    }

    async fn carry_out(&self, chosen: Vec<(SegmentId, Move)>) -> Vec<Result<bool, Failure>> {
        let moving = chosen.into_iter().map(|(segment, wanted)| self.reconstruction.move_chunk(segment, wanted));
        stream::iter(moving).buffer_unordered(MOVES_AT_ONCE).collect().await
    }

    /// What each active node holds by the records.
    async fn balance(&self) -> Result<Balance, Failure> {
        let view = self.ledger.view()?;
        let counting = tokio::task::spawn_blocking(move || Holdings::read(&State(view.as_ref())));
        let stopped = |_| Refusal::NotReady { why: "this master is stopping".to_owned() };
        let holdings = counting.await.map_err(stopped)??;
        let active = self.nodes.members_with_state().into_iter().filter(|(_, state)| *state == NodeState::Active);
        let mut places: Vec<_> = active.map(|(member, _)| member.place()).collect();
        let nodes = self.nodes.candidates().0.into_iter().filter_map(|candidate| {
            let position = places.iter().position(|place| place.node == candidate.node)?;
            let place = places.swap_remove(position);
            Some(BalancedNode { place, held_bytes: holdings.at(place).bytes, candidate })
        });
        Ok(Balance::new(nodes.collect::<Vec<_>>()))
    }

    /// The moves of one page of segments.
    fn choose(&self, balance: &mut Balance, from: &Bytes) -> Result<Page, StateError> {
        let view = self.ledger.view()?;
        let page = State(view.as_ref()).page(keys::SEGMENTS, from, SEGMENTS_PER_ROUND)?;
        let mut chosen = Vec::new();
        for (key, found) in &page {
            let segment = decode_segment(key, &found.record)?;
            if let Some(best) = balance.choose(&segment) {
                balance.note(&best);
                chosen.push((segment.id, best));
            }
            if chosen.len() == MOVES_PER_ROUND {
                return Ok(Page { chosen, next: Some(keys::successor(key)) });
            }
        }
        let last = page.last().filter(|_| page.len() == SEGMENTS_PER_ROUND);
        Ok(Page { chosen, next: last.map(|(key, _)| keys::successor(key)) })
    }
}
