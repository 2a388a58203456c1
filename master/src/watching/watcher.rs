use std::sync::Arc;
use std::time::Duration;

use cairn_proto::{Refusal, wire};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::WatchRequest;
use super::key_change::key_change;
use crate::blobs::Pattern;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::store::{ChangeHistory, ChangePage, HistoryLost, Standing};

/// How often a watcher is told how far the state has come while nothing it watches changes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// Changes looked at for one message.
const PAGE_CHANGES: usize = 512;
/// From one message with changes to the next, so that a watcher of busy keys costs a message for many of them.
const GATHERING: Duration = Duration::from_millis(10);

/// One watcher's way through the history. It looks when it is asked for its next message, and keeps nothing but its place:
/// one that is not asked in time loses the history, and holds up nobody.
pub struct Watcher {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    history: Arc<ChangeHistory>,
    noticed: watch::Receiver<u64>,
    standing: watch::Receiver<Standing>,
    pattern: Pattern,
    /// All changes up to here were looked at.
    position: u64,
    progress_at: Instant,
    look_at: Instant,
    _place: OwnedSemaphorePermit,
}

impl Watcher {
    pub(super) fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        request: WatchRequest,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let history = ledger.changes();
        let now = Instant::now();
        Self {
            position: request.after.unwrap_or_else(|| history.applied()),
            noticed: history.noticed(),
            standing: ledger.standing(),
            history,
            ledger,
            clock,
            pattern: request.pattern,
            progress_at: now,
            look_at: now,
            _place: place,
        }
    }

    /// The next message: changes as soon as there are any, otherwise progress. It comes to an end when this master is not
    /// elected any more, or when changes that were not looked at are not kept any more.
    pub async fn next(&mut self) -> Result<wire::WatchResponse, Failure> {
        loop {
            sleep_until(self.look_at).await;
            self.noticed.mark_unchanged();
            let page = self.history.after(self.position, PAGE_CHANGES).map_err(lost)?;
            // Checked after the look: what was seen before the lease ended was all there was.
            self.ledger.check_standing(self.clock.now())?;
            if let Some(message) = self.message(&page)? {
                return Ok(message);
            }
            if page.is_cut {
                tokio::task::yield_now().await;
            } else {
                self.news().await;
            }
        }
    }

    fn message(&mut self, page: &ChangePage) -> Result<Option<wire::WatchResponse>, Failure> {
        // A watcher may have seen more at the master that was elected before.
        let moves = page.through >= self.position;
        self.position = self.position.max(page.through);
        let changes = page.changes.iter().filter_map(|change| key_change(change, &self.pattern).transpose());
        let changes = changes.collect::<Result<Vec<_>, _>>()?;
        let now = Instant::now();
        if changes.is_empty() && (page.is_cut || !moves || now < self.progress_at) {
            return Ok(None);
        }
        self.progress_at = now + PROGRESS_INTERVAL;
        if !changes.is_empty() && !page.is_cut {
            self.look_at = now + GATHERING;
        }
        Ok(Some(wire::WatchResponse { changes, applied_index: self.position }))
    }

    /// Waits for a change of any key, for the end of the election, or until progress is due.
    async fn news(&mut self) {
        let due = self.progress_at.max(Instant::now() + GATHERING);
        // A sender that is gone is the end of this master: the check that follows says so.
        tokio::select! {
            _ = self.noticed.changed() => {}
            _ = self.standing.changed() => {}
            () = sleep_until(due) => {}
        }
    }
}

fn lost(lost: HistoryLost) -> Refusal {
    Refusal::HistoryLost { lost: lost.lost.to_string() }
}
