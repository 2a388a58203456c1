//! Settings of the group: what they are and, in `DESIGN.md`, why.

use openraft::{Config, ConfigError, SnapshotPolicy};

use super::super::LogOptions;

/// How often a leader tells its followers that it lives.
const HEARTBEAT_INTERVAL_MS: u64 = 100;
/// Shortest and longest silence after which a follower asks for an election.
pub(crate) const ELECTION_TIMEOUT_MIN_MS: u64 = 400;
pub(super) const ELECTION_TIMEOUT_MAX_MS: u64 = 800;
/// How long a leader that lost its quorum stays silent, so that others can elect: their lease, the longest election
/// timeout, and as much again for the votes.
pub(super) const QUORUM_LOSS_PROBE_INTERVAL_MS: u64 = 3 * ELECTION_TIMEOUT_MAX_MS;
/// Entries removed from the log at a time, at most.
const PURGE_BATCH_ENTRIES: u64 = 4096;
/// Part of the entries between two snapshots that is removed at a time.
const PURGE_BATCHES_PER_SNAPSHOT: u64 = 10;
/// Entries in one request to a follower.
const REPLICATION_BATCH_ENTRIES: u64 = 300;
/// Entries in one write to the log.
const APPEND_BATCH_ENTRIES: u64 = 4096;
/// Requests that wait for the Raft core.
const REQUEST_QUEUE: u64 = 4096;
/// Orders that wait for the state machine.
const STATE_MACHINE_QUEUE: u64 = 1024;
/// Pauses between attempts to reach a master that does not answer.
const RETRY_PAUSES: &str = "50ms 100ms 200ms ..1s";

/// Limits of the log in entries. Lower limits make snapshots and purges come sooner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// A snapshot is taken after so many.
    pub snapshot_every: u64,
    /// So many are kept behind a snapshot.
    pub kept_log: u64,
    /// A follower so far behind is sent a snapshot. More than `snapshot_every`: there must be a newer one by then.
    pub replication_lag: u64,
    /// So many are removed at a time.
    pub purge_batch: u64,
}

impl From<LogOptions> for LogLimits {
    fn from(options: LogOptions) -> Self {
        let LogOptions { keep_entries, snapshot_every_entries } = options;
        Self {
            snapshot_every: snapshot_every_entries,
            kept_log: keep_entries,
            replication_lag: keep_entries.max(snapshot_every_entries.saturating_add(1)),
            purge_batch: (snapshot_every_entries / PURGE_BATCHES_PER_SNAPSHOT).clamp(1, PURGE_BATCH_ENTRIES),
        }
    }
}

/// The group's configuration, checked.
pub(crate) fn config(limits: LogLimits) -> Result<Config, ConfigError> {
    Config {
        cluster_name: "cairn".to_owned(),
        heartbeat_interval: HEARTBEAT_INTERVAL_MS,
        election_timeout_min: ELECTION_TIMEOUT_MIN_MS,
        election_timeout_max: ELECTION_TIMEOUT_MAX_MS,
        quorum_loss_probe_interval: Some(QUORUM_LOSS_PROBE_INTERVAL_MS),
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(limits.snapshot_every),
        replication_lag_threshold: limits.replication_lag,
        max_in_snapshot_log_to_keep: limits.kept_log,
        purge_batch_size: limits.purge_batch,
        max_payload_entries: REPLICATION_BATCH_ENTRIES,
        max_append_entries: Some(APPEND_BATCH_ENTRIES),
        api_channel_size: Some(REQUEST_QUEUE),
        state_machine_channel_size: Some(STATE_MACHINE_QUEUE),
        backoff: RETRY_PAUSES.to_owned(),
        ..Config::default()
    }
    .validate()
}

#[cfg(test)]
mod tests {
    use super::{LogOptions, config};

    #[test]
    fn the_settings_are_accepted() {
        config(LogOptions::default().into()).unwrap();
    }
}
