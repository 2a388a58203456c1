//! Brings the two parts together again: the master that leads Raft without holding the lease hands Raft to the holder.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::Group;
use crate::lease::SeenLease;

/// Lease periods that Raft may be led elsewhere before it is handed to the holder: an election must not follow at once
/// on an election.
const PERIODS_APART: u32 = 1;

/// Runs for as long as this master takes part.
pub(super) async fn align(group: Group, mut lease: watch::Receiver<Option<SeenLease>>, period: Duration) {
    let mut leads = group.leads();
    let mut apart_since: Option<Instant> = None;
    loop {
        let apart_from = {
            let (leads, lease) = (*leads.borrow_and_update(), lease.borrow_and_update());
            lease.as_ref().and_then(|seen| other_holder(leads, group.me(), seen, period))
        };
        let due = match apart_from {
            None => {
                apart_since = None;
                None
            }
            Some(holder) => {
                let due = *apart_since.get_or_insert_with(Instant::now) + period * PERIODS_APART;
                if due <= Instant::now() {
                    apart_since = None;
                    if group.pass_on(holder).await {
                        tracing::info!(holder, "handed Raft to the elected master");
                    }
                    continue;
                }
                Some(due)
            }
        };
        let alive = tokio::select! {
            changed = leads.changed() => changed.is_ok(),
            changed = lease.changed() => changed.is_ok(),
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => true,
        };
        if !alive {
            return;
        }
    }
}

/// The live holder of the lease, if it is another master and this one leads Raft.
fn other_holder(leads: bool, me: u64, seen: &SeenLease, period: Duration) -> Option<u64> {
    let alive = !seen.record.is_released() && seen.seen_at.elapsed() < period;
    (leads && alive && seen.record.master != me).then_some(seen.record.master)
}
