//! Rebuilds chunks whose nodes are gone, and moves those whose nodes are to be emptied.

mod absent;
mod damage;
mod flaws;
mod moving;
mod planning;
mod queue;
mod rate;
mod status;
mod survey;
#[cfg(test)]
mod tests;
mod work;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use absent::AbsentChunks;
use damage::Damage;
pub(super) use planning::begun;
pub(crate) use planning::rebuilt_at;
use queue::RepairQueue;
use status::{RepairItem, RepairStatus};
use survey::Surveys;

use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::scheduler::Score;
use crate::state::{State, damaged};

/// Time from one look at nodes and records to the next.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// Chunks that are rebuilt or moved at a time: as many as there are nodes, within these bounds.
const REBUILDINGS: RangeInclusive<usize> = 8..=256;
/// Records of holes that one round looks at.
const RECORDS_PER_ROUND: usize = 1024;

/// How repairs are set up.
#[derive(Debug, Clone, Copy)]
pub struct RepairSettings {
    /// How long a dead node may be away before its chunks are rebuilt, while enough are to spare.
    pub grace: Duration,
    /// What all repairs together may read in a second; 0 for as much as nodes allow themselves.
    pub bytes_per_second: u64,
    /// Which of equally spread nodes is taken first.
    pub score: Score,
}

/// The reconstruction of one election. The queue is in memory: whatever is missing is seen in the segments' records, which
/// are surveyed at an election, whenever the standing of a node changes or what it is to be, and for as long as a node is to
/// be emptied; holes that commits leave are on record.
pub struct Reconstruction {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    settings: RepairSettings,
    queue: Mutex<RepairQueue>,
    status: RepairStatus,
    surveys: Mutex<Surveys>,
    absent: Mutex<AbsentChunks>,
    /// There is something to do before the next round.
    wanted: Notify,
}

impl Reconstruction {
    /// The job of one election.
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, nodes: Arc<Nodes>, settings: RepairSettings) -> Self {
        let (queue, status, surveys) = (Mutex::default(), RepairStatus::default(), Mutex::default());
        let (absent, wanted) = (Mutex::default(), Notify::new());
        Self { ledger, clock, nodes, settings, queue, status, surveys, absent, wanted }
    }

    /// Segments that wait for a repair or are being repaired.
    pub fn pending(&self) -> usize {
        self.queue.lock().pending()
    }

    /// What is missing, and how its rebuilding goes.
    pub fn report(&self) -> wire::GetHealStatusResponse {
        let items = self.status.items();
        let left_bytes = |moved: bool| -> u64 {
            items.iter().filter(|item| item.is_move == moved).map(RepairItem::left_bytes).sum()
        };
        let (rebuilt_chunks, rebuilt_bytes) = self.status.rebuilt();
        let queue = self.queue.lock();
        wire::GetHealStatusResponse {
            pending: queue.pending() as u64,
            pending_bytes: queue.due_bytes() + left_bytes(false),
            moving: queue.moves() as u64,
            moving_bytes: queue.leaving_bytes() + left_bytes(true),
            rate_bytes_per_s: self.status.bytes_per_second(self.clock.now()),
            rebuilt_chunks,
            rebuilt_bytes,
            moved_chunks: self.status.moved(),
            read_bytes: self.status.read_bytes(),
            items: items.into_iter().map(wire::HealItem::from).collect(),
        }
    }

    /// Works until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut records_from = Bytes::from_static(keys::REPAIRS);
        let mut ticks = tokio::time::interval(ROUND_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.look_and_tell(&mut records_from).await,
                () = self.wanted.notified() => self.look_and_tell(&mut records_from).await,
                Some(done) = under_way.join_next() => Self::note(done),
            }
            while under_way.len() < self.hands()
                && let Some(segment) = self.take()
            {
                under_way.spawn(Arc::clone(&self).repair(segment));
            }
        }
    }

    async fn look_and_tell(&self, records_from: &mut Bytes) {
        if let Err(error) = self.look(records_from).await {
            tracing::warn!(%error, "missing chunks are looked for again in the next round");
        }
    }

    /// Looks at every segment now, and at what was put off as well.
    pub async fn start_now(&self) -> Result<(), Failure> {
        self.survey(self.nodes.standings(self.settings.grace)).await?;
        self.wanted.notify_one();
        Ok(())
    }

    /// One look and all repairs that it makes possible, one after the other: for tests.
    #[cfg(test)]
    pub async fn round(self: &Arc<Self>) -> Result<(), Failure> {
        self.look(&mut Bytes::from_static(keys::REPAIRS)).await?;
        while let Some(segment) = self.take() {
            Arc::clone(self).repair(segment).await?;
        }
        Ok(())
    }

    /// Chunks that are rebuilt or moved at a time.
    fn hands(&self) -> usize {
        self.nodes.table().len().clamp(*REBUILDINGS.start(), *REBUILDINGS.end())
    }

    /// Half of the hands at most are at segments that miss nothing: what goes missing meanwhile is not to wait for a
    /// move to end.
    fn take(&self) -> Option<SegmentId> {
        self.queue.lock().take(self.clock.now(), self.hands() / 2)
    }

    fn note(done: Result<Result<(), Failure>, tokio::task::JoinError>) {
        let failed = match done {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(broken) => broken.to_string(),
        };
        tracing::warn!(error = failed, "a repair broke off; it is tried again");
    }

    /// Finds what is missing or to be moved: all of it where a survey is due, otherwise what commits have left, from one
    /// record on.
    async fn look(&self, records_from: &mut Bytes) -> Result<(), Failure> {
        let standings = self.nodes.standings(self.settings.grace);
        if self.survey_is_due(&standings) {
            self.survey(standings).await?;
        }
        *records_from = self.look_at_records(records_from)?;
        self.look_at_flaws()?;
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
