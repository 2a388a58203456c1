use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::BlobId;
use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::dropping::plan_drop;
use super::grace::Grace;
use super::revocation::Revocation;
use super::sweeping::sweep;
use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::sessions::Sessions;
use crate::state::{State, damaged, decode_deleted};
use crate::store::StoreSession;

/// Time from the end of one round to the start of the next.
const ROUND_INTERVAL: Duration = Duration::from_millis(500);
/// Deleted blobs looked at in one round.
const BLOBS_PER_ROUND: usize = 1024;
/// Commands under way at a time.
const COMMANDS_AT_ONCE: usize = 16;

/// Garbage collection: deleted blobs become garbage, garbage is deleted, ended sessions are cleared away.
pub struct Collection {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    sessions: Arc<Sessions>,
    nodes: Arc<Nodes>,
    grace: Grace,
    revocation: Revocation,
    deleted_from: Bytes,
    garbage_from: Bytes,
    revocations_from: Bytes,
}

impl Collection {
    /// The job of one election.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        sessions: Arc<Sessions>,
        nodes: Arc<Nodes>,
        grace: Duration,
    ) -> Self {
        Self {
            ledger,
            clock,
            sessions,
            nodes,
            grace: Grace::new(grace),
            revocation: Revocation::default(),
            deleted_from: Bytes::from_static(keys::DELETED),
            garbage_from: Bytes::from_static(keys::GARBAGE),
            revocations_from: Bytes::from_static(keys::REVOCATIONS),
        }
    }

    /// Works until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(ROUND_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.round().await {
                tracing::warn!(%error, "garbage collection goes on in the next round");
            }
        }
    }

    /// One bounded piece of each kind of work. A kind that fails does not hold up the others.
    pub async fn round(&mut self) -> Result<(), Failure> {
        let dropped = self.drop_deleted().await;
        let first = Bytes::from_static(keys::GARBAGE);
        let swept = sweep(&self.ledger, &self.nodes, &self.garbage_from).await;
        let swept = swept.map(|next| self.garbage_from = next.unwrap_or(first));
        let first = Bytes::from_static(keys::REVOCATIONS);
        let revoked = self.revocation.round(&self.ledger, &self.nodes, &self.revocations_from).await;
        let revoked = revoked.map(|next| self.revocations_from = next.unwrap_or(first));
        dropped.and(swept).and(revoked)
    }

    /// Drops blobs whose grace is over and that no live session may still read.
    async fn drop_deleted(&mut self) -> Result<(), Failure> {
        let deleted = self.past_grace()?;
        let dropping = deleted.into_iter().map(|(index, blob)| self.drop_one(index, blob));
        let outcomes: Vec<_> = stream::iter(dropping).buffer_unordered(COMMANDS_AT_ONCE).collect().await;
        outcomes.into_iter().collect()
    }

    /// The next deleted blobs whose grace is over, each with the index of its deletion.
    fn past_grace(&mut self) -> Result<Vec<(u64, BlobId)>, StateError> {
        let view = self.ledger.view()?;
        let past = self.grace.note(self.clock.now(), view.applied_index());
        let page = State(view.as_ref()).page(keys::DELETED, &self.deleted_from, BLOBS_PER_ROUND)?;
        let mut deleted = Vec::new();
        let mut next = Bytes::from_static(keys::DELETED);
        for (position, (key, found)) in page.iter().enumerate() {
            let index = keys::number_in(keys::DELETED, key).ok_or_else(|| damaged(key, &"not a deletion's key"))?;
            if index > past {
                break;
            }
            deleted.push((index, decode_deleted(key, &found.record)?));
            if position + 1 == BLOBS_PER_ROUND {
                next = keys::successor(key);
            }
        }
        self.deleted_from = next;
        Ok(deleted)
    }

    /// Drops a blob, or leaves it for a later round if a client may still read it or its records make no sense.
    async fn drop_one(&self, index: u64, blob: BlobId) -> Result<(), Failure> {
        let plan = |session: &mut StoreSession| {
            let segments = plan_drop(session, index, blob)?;
            if !self.sessions.table().all_past(index, &segments) {
                session.discard();
            }
            Ok(())
        };
        match self.ledger.transact(plan).await {
            Ok(_) => Ok(()),
            Err(Failure::State(error)) => {
                tracing::error!(%blob, %error, "a deleted blob stays: it cannot be dropped safely");
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }
}
