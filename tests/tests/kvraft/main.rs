//! The tests of the KVRaft lab and of 6.824, by name, on groups of real stores: real Raft, real gRPC, a real disk, and a
//! network that delays, loses and cuts as theirs does. `DESIGN.md` says where ours ask for more.

#![allow(clippy::unwrap_used, reason = "all of this binary is test code, functions beside the tests included")]
#![allow(clippy::print_stdout, reason = "what a failed run is repeated with is shown with it")]

mod generic;
mod linearizable;
mod load;
mod nemesis;
mod one_way;
mod partitions;
mod persistence;
mod snapshots;
mod steady;

use cairn_master::store::LogLimits;

/// As in production: no snapshot is taken in these short runs.
const LONG_LOG: LogLimits =
    LogLimits { snapshot_every: 20_000, kept_log: 50_000, replication_lag: 50_000, purge_batch: 4096 };

/// With these limits a log holds at most [`SHORT_LOG_ENTRIES`], and followers that were away need snapshots.
const SHORT_LOG: LogLimits = LogLimits { snapshot_every: 500, kept_log: 1000, replication_lag: 1000, purge_batch: 100 };
const SHORT_LOG_ENTRIES: u64 = 2000;
