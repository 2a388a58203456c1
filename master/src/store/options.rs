use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::MasterId;
use cairn_proto::transport::Connector;

use crate::clock::WallClock;

/// One master of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its Raft id. Never given to another disk.
    pub id: u64,
    /// Its name, for people.
    pub name: String,
    /// `host:port` it serves at.
    pub address: String,
}

/// Times of the leader lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseOptions {
    /// How long a lease lasts without an extension.
    pub period: Duration,
    /// How often the holder extends it.
    pub extension: Duration,
    /// How much longer than the period a contender waits.
    pub buffer: Duration,
}

impl Default for LeaseOptions {
    fn default() -> Self {
        Self {
            period: Duration::from_secs(2),
            extension: Duration::from_millis(500),
            buffer: Duration::from_millis(300),
        }
    }
}

/// Bounds of the Raft log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// Entries kept behind a snapshot, so that a follower that is not far behind goes on from the log.
    pub keep_entries: u64,
    /// Entries after which a snapshot is taken.
    pub snapshot_every_entries: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { keep_entries: 50_000, snapshot_every_entries: 20_000 }
    }
}

/// Who writes the log and waits for its syncs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogWriting {
    /// A thread of its own, so that appends do not wait and share syncs.
    #[default]
    Thread,
    /// Whoever appends, at once. For simulated time, which does not wait for threads that it does not know.
    Inline,
    /// As [`Self::Thread`], and nothing is ever durable. For the power cut that must be noticed, and for nothing else: no
    /// configuration asks for it.
    Unsynced,
}

/// What a master's store is opened with.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Directory of its own; made if missing.
    pub dir: PathBuf,
    /// This master's Raft id.
    pub master: u64,
    /// This master's name, for people.
    pub name: String,
    /// `host:port` that the other masters and clients reach it at.
    pub address: String,
    /// The masters that a new group starts with, this one among them; the same on all of them. Once a group
    /// exists, its log says who belongs to it. Empty: this master is to be added to a group.
    pub members: Vec<Member>,
    /// Addresses of masters of the group that this one is to be added to; empty where `members` is not.
    pub join: Vec<String>,
    /// Times of the leader lease.
    pub lease: LeaseOptions,
    /// How the other masters are connected to.
    pub connector: Arc<dyn Connector>,
    /// Bounds of the Raft log.
    pub log: LogOptions,
    /// The time in records that are for people.
    pub wall_clock: Arc<dyn WallClock>,
    /// Who writes the log.
    pub log_writing: LogWriting,
}

/// What a master is to elections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberRole {
    /// It votes.
    Voter,
    /// It is still catching up.
    Learner,
}

/// Whether a master is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// It has answered within the last lease period.
    Active,
    /// It has not.
    Unreachable,
    /// Only the Raft leader hears from all; another master knows of itself and of the leader.
    Unknown,
}

/// One master as this one sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    /// The master.
    pub member: Member,
    /// Whether it is heard.
    pub state: MemberState,
    /// What it is to elections.
    pub role: MemberRole,
    /// Its disk.
    pub disk: MasterId,
    /// It leads the Raft group.
    pub raft_leader: bool,
    /// It holds the lease.
    pub elected: bool,
    /// Log index it has applied (this master) or stored (the others, as the Raft leader knows it).
    pub applied_index: Option<u64>,
}
