use std::sync::OnceLock;
use std::time::Duration;

use openraft::Instant;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftDataMetrics;
use openraft::type_config::alias::WatchReceiverOf;

use super::settings::{ELECTION_TIMEOUT_MAX_MS, QUORUM_LOSS_PROBE_INTERVAL_MS};
use super::{Raft, Types};

/// How long followers believe in a leader that they have just heard.
const FOLLOWERS_LEASE: Duration = Duration::from_millis(ELECTION_TIMEOUT_MAX_MS);
/// How long a leader that hears no majority is silent, and then speaks again, by turns.
const TURN: Duration = Duration::from_millis(QUORUM_LOSS_PROBE_INTERVAL_MS);

/// Makes a leader that hears no majority fall silent. Followers that hear it elect nobody else, so one that hears
/// nothing would keep the whole group from working for as long as it has entries to send.
///
/// The Raft engine holds back heartbeats by itself, in the same turns, but repeats entries that were not acknowledged
/// for ever.
#[derive(Default)]
pub(crate) struct Silence {
    metrics: OnceLock<WatchReceiverOf<Types, RaftDataMetrics<Types>>>,
}

impl Silence {
    /// Goes by what this master's part in the group has heard.
    pub(super) fn follow(&self, raft: &Raft) {
        // Only the first call has an effect, and there is one for each group.
        self.metrics.get_or_init(|| raft.data_metrics());
    }

    /// Whether this master may send entries and heartbeats now.
    pub(super) fn is_over(&self) -> bool {
        let heard_at = self.metrics.get().and_then(|metrics| metrics.borrow_watched().last_quorum_acked);
        heard_at.is_none_or(|heard_at| may_speak(heard_at.elapsed()))
    }
}

/// Whether a leader may speak that has last heard from a majority so long ago.
fn may_speak(since: Duration) -> bool {
    let Some(over) = since.checked_sub(FOLLOWERS_LEASE) else { return true };
    (over.as_nanos() / TURN.as_nanos()) % 2 == 1
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{FOLLOWERS_LEASE, TURN, may_speak};

    const MOMENT: Duration = Duration::from_millis(1);
    /// A moment before the turns begin.
    const LAST_MOMENT: Duration = Duration::from_millis(super::ELECTION_TIMEOUT_MAX_MS - 1);

    #[test]
    fn who_hears_a_majority_speaks() {
        assert!(may_speak(Duration::ZERO));
        assert!(may_speak(LAST_MOMENT));
    }

    #[test]
    fn who_hears_none_is_silent_and_speaks_by_turns() {
        assert!(!may_speak(FOLLOWERS_LEASE));
        assert!(!may_speak(LAST_MOMENT + TURN));
        assert!(may_speak(LAST_MOMENT + MOMENT + TURN));
        assert!(!may_speak(FOLLOWERS_LEASE + 2 * TURN));
    }

    #[test]
    fn a_turn_of_silence_is_long_enough_for_an_election() {
        // The followers' belief has to end, then the longest election timeout, and then they have to vote.
        let votes = Duration::from_millis(200);
        assert!(TURN >= FOLLOWERS_LEASE + FOLLOWERS_LEASE + votes);
    }
}
