//! Rebuilds chunks whose nodes are gone.

mod damage;
mod planning;
mod queue;
mod rate;
mod status;
#[cfg(test)]
mod tests;
mod work;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use cairn_proto::records::ChunkPlace;
use cairn_proto::{Refusal, wire};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use damage::Damage;
pub(super) use planning::begun;
use queue::RepairQueue;
use status::{RepairItem, RepairStatus};

use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::{Nodes, PlaceStanding};
use crate::scheduler::Score;
use crate::state::{State, damaged, decode_segment};

/// Time from one look at nodes and records to the next.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// Chunks that are rebuilt at a time.
const REBUILDINGS_LIMIT: usize = 8;
/// Records of holes that one round looks at.
const RECORDS_PER_ROUND: usize = 1024;

/// How repairs are set up.
#[derive(Debug, Clone, Copy)]
pub struct RepairSettings {
    /// How long a dead node may be away before its chunks are rebuilt, while enough are to spare.
    pub grace: Duration,
    /// What all repairs together may read in a second.
    pub bytes_per_second: u64,
    /// Which of equally spread nodes is taken first.
    pub score: Score,
}

/// The reconstruction of one election. The queue is in memory: whatever is missing is seen in the segments' records, which
/// are surveyed at an election and whenever the standing of a node changes; holes that commits leave are on record.
pub struct Reconstruction {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    settings: RepairSettings,
    queue: Mutex<RepairQueue>,
    status: RepairStatus,
}

/// Where the rounds are.
struct Rounds {
    /// As they were at the last survey.
    standings: Option<Vec<(ChunkPlace, PlaceStanding)>>,
    records_from: Bytes,
}

impl Default for Rounds {
    fn default() -> Self {
        Self { standings: None, records_from: Bytes::from_static(keys::REPAIRS) }
    }
}

impl Reconstruction {
    /// The job of one election.
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, nodes: Arc<Nodes>, settings: RepairSettings) -> Self {
        let (queue, status) = (Mutex::default(), RepairStatus::default());
        Self { ledger, clock, nodes, settings, queue, status }
    }

    /// Segments that wait for a repair or are being repaired.
    pub fn pending(&self) -> usize {
        self.queue.lock().pending()
    }

    /// What is missing, and how its rebuilding goes.
    pub fn report(&self) -> wire::GetHealStatusResponse {
        let items = self.status.items();
        let left = |item: &RepairItem| {
            let cells = item.total_cells.saturating_sub(item.cells);
            item.length_bytes / item.total_cells.max(1) * cells
        };
        let (pending, waiting_bytes) = {
            let queue = self.queue.lock();
            (queue.pending(), queue.due_bytes())
        };
        let (rebuilt_chunks, rebuilt_bytes) = self.status.rebuilt();
        wire::GetHealStatusResponse {
            pending: pending as u64,
            pending_bytes: waiting_bytes + items.iter().map(left).sum::<u64>(),
            rate_bytes_per_s: self.status.bytes_per_second(self.clock.now()),
            rebuilt_chunks,
            rebuilt_bytes,
            read_bytes: self.status.read_bytes(),
            items: items.into_iter().map(wire::HealItem::from).collect(),
        }
    }

    /// Works until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut rounds = Rounds::default();
        let mut ticks = tokio::time::interval(ROUND_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {
                    if let Err(error) = self.look(&mut rounds).await {
                        tracing::warn!(%error, "missing chunks are looked for again in the next round");
                    }
                }
                Some(done) = under_way.join_next() => Self::note(done),
            }
            while under_way.len() < REBUILDINGS_LIMIT
                && let Some(segment) = self.take()
            {
                under_way.spawn(Arc::clone(&self).repair(segment));
            }
        }
    }

    /// One look and all repairs that it makes possible, one after the other: for tests.
    #[cfg(test)]
    pub async fn round(self: &Arc<Self>) -> Result<(), Failure> {
        let mut rounds = Rounds::default();
        self.look(&mut rounds).await?;
        while let Some(segment) = self.take() {
            Arc::clone(self).repair(segment).await?;
        }
        Ok(())
    }

    fn take(&self) -> Option<SegmentId> {
        self.queue.lock().take(self.clock.now())
    }

    fn note(done: Result<Result<(), Failure>, tokio::task::JoinError>) {
        let failed = match done {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(broken) => broken.to_string(),
        };
        tracing::warn!(error = failed, "a repair broke off; it is tried again");
    }

    /// Finds what is missing: all of it after a change of nodes, otherwise what commits have left.
    async fn look(&self, rounds: &mut Rounds) -> Result<(), Failure> {
        let standings = self.nodes.standings(self.settings.grace);
        let overflowed = {
            let queue = self.queue.lock();
            queue.overflowed() && queue.is_empty()
        };
        if overflowed || rounds.standings.as_ref() != Some(&standings) {
            self.survey(standings.clone()).await?;
            rounds.standings = Some(standings);
        }
        rounds.records_from = self.look_at_records(&rounds.records_from)?;
        Ok(())
    }

    /// Looks at every segment, apart from the threads that serve requests.
    async fn survey(&self, standings: Vec<(ChunkPlace, PlaceStanding)>) -> Result<(), Failure> {
        let view = self.ledger.view()?;
        let surveyed = tokio::task::spawn_blocking(move || {
            let standings: HashMap<_, _> = standings.into_iter().collect();
            let standing = |place| standings.get(&place).copied().unwrap_or(PlaceStanding::Gone);
            let mut damaged = Vec::new();
            State(view.as_ref()).each(keys::SEGMENTS, |key, found| {
                let segment = decode_segment(key, &found.record)?;
                if let Some(damage) = Damage::of(&segment, standing) {
                    damaged.push((segment.id, damage));
                }
                Ok(())
            })?;
            Ok::<_, StateError>(damaged)
        });
        let damaged = surveyed.await.map_err(|error| Refusal::NotReady { why: error.to_string() })??;
        let (mut queue, now) = (self.queue.lock(), self.clock.now());
        queue.clear();
        for (segment, damage) in damaged {
            queue.push(segment, &damage, now);
        }
        Ok(())
    }

    /// Queues the segments of some records; answers where the next are.
    fn look_at_records(&self, start: &Bytes) -> Result<Bytes, StateError> {
        let view = self.ledger.view()?;
        let state = State(view.as_ref());
        let page = state.page(keys::REPAIRS, start, RECORDS_PER_ROUND)?;
        let now = self.clock.now();
        for (key, _) in &page {
            let id = keys::id_in(keys::REPAIRS, key).ok_or_else(|| damaged(key, &"not the key of a segment"))?;
            let id = SegmentId::from_bytes(id);
            if self.queue.lock().has(id) {
                continue;
            }
            let damage = state.segment(id)?.and_then(|found| Damage::of(&found.record, |place| self.standing(place)));
            // A record without damage is cleared away by whoever looks at it.
            self.queue.lock().push(id, &damage.unwrap_or_default(), now);
        }
        let last = page.last().filter(|_| page.len() == RECORDS_PER_ROUND);
        Ok(last.map_or_else(|| Bytes::from_static(keys::REPAIRS), |(key, _)| keys::successor(key)))
    }
}
