//! The Raft group. This is the only module that knows openraft.

mod admission;
mod append_stream;
mod commit_notices;
mod convert;
mod entry_convert;
mod forwarding;
mod group;
mod journaled_database;
mod log;
mod log_reader;
mod log_records;
mod log_tail;
#[cfg(test)]
mod log_tests;
mod log_writer;
mod logged_command;
mod membership;
mod network;
mod no_followers;
mod peer;
mod peers;
mod settings;
mod silence;
mod snapshot;
mod snapshot_receiver;
mod snapshot_sender;
mod state_machine;
#[cfg(test)]
mod storage_tests;

pub use group::{LogSize, StartError};
pub use membership::ChangeError;
#[cfg(test)]
pub(crate) use settings::ELECTION_TIMEOUT_MIN_MS;
pub use settings::LogLimits;

pub(crate) use admission::Admission;
use convert::InvalidMessage;
pub(super) use entry_convert::logged;
pub(crate) use group::{Group, RequestError};
pub(crate) use log::LogStore;
pub(crate) use logged_command::LoggedCommand;
use network::Network;
use no_followers::NoFollowers;
pub(crate) use peer::Peer;
pub(crate) use peers::Peers;
pub(crate) use silence::Silence;
pub(crate) use snapshot::SnapshotFiles;
pub(crate) use snapshot_receiver::{ReceiveError, SnapshotReceiver};
pub(crate) use state_machine::StateMachine;

use super::Outcome;

openraft::declare_raft_types!(
    /// The types of this group, fixed once.
    pub(crate) Types:
        D = LoggedCommand,
        R = Outcome,
        NodeId = u64,
        Node = Peer,
);

pub(crate) type Raft = openraft::Raft<Types, StateMachine>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<Types>;
pub(crate) type LogId = openraft::type_config::alias::LogIdOf<Types>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<Types>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, Peer>;
