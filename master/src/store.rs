//! The replicated store: one key-value state that every master applies in the same order.
//!
//! Managers see the [`Store`] and [`View`] traits. [`ReplicatedStore`] stands behind them in a daemon,
//! [`MemoryStore`] in their tests; both run commands through the same [`apply`](apply::apply).

mod administration;
mod alignment;
pub mod apply;
mod attempt;
mod change;
mod change_history;
#[cfg(test)]
mod cluster_tests;
mod command;
mod command_number;
mod command_numbers;
mod commit_error;
mod database;
mod directory;
mod durable_files;
mod failures;
mod founding;
mod identity;
mod introduction;
mod journal;
mod memory;
mod open;
#[cfg(test)]
mod open_tests;
mod operation;
mod options;
mod outcome;
mod proposal;
mod proposer;
mod queue;
mod raft;
mod recent_commands;
mod recent_values;
mod removal;
mod replicated;
mod session;
mod standing;
mod state_database;
mod state_directory;
mod state_store;
mod state_view;
mod versioned;
mod view;

pub use administration::AdministrationError;
pub use change::Change;
pub use change_history::{ChangeHistory, ChangePage, HistoryLost};
pub use command::Command;
pub use commit_error::{CommitError, Committed};
pub use directory::DirectoryError;
pub use identity::IdentityError;
pub use memory::MemoryStore;
pub use open::{OpenError, open, open_with};
pub use operation::{Expected, Operation};
pub use options::{LeaseOptions, LogOptions, LogWriting, Member, MemberRole, MemberState, MemberStatus, StoreOptions};
pub use queue::{Claims, CommandQueue, Turn};
pub use replicated::{FatalError, ReplicatedStore};
pub use session::StoreSession;
pub use standing::{Epoch, Standing};
pub use state_store::StateError;
pub use versioned::Versioned;
pub use view::{ReadError, View};

pub(crate) use apply::encode_lease;
pub(crate) use attempt::Attempt;
pub(crate) use command_number::CommandNumber;
pub(crate) use introduction::Introduction;
pub(crate) use outcome::Outcome;
pub(crate) use proposal::Proposal;
pub(crate) use raft::{Admission, Group, ReceiveError, RequestError, SnapshotFiles, SnapshotReceiver};
pub use raft::{ChangeError, LogLimits, LogSize, StartError};
pub(crate) use recent_commands::RecentCommands;
pub(crate) use state_store::encode_cluster;

use std::sync::Arc;

use tokio::sync::watch;
use tonic::async_trait;

/// Key of the leader lease.
pub const LEASE_KEY: &[u8] = b"lease";

/// Key of the cluster's id, written once.
pub const CLUSTER_KEY: &[u8] = b"cluster";

/// In front of the records whose changes can be watched.
pub const WATCHED_PREFIX: &[u8] = b"key/";

/// Bytes of the keys and values of one command.
pub(crate) const COMMAND_LIMIT_BYTES: usize = 8 << 20;

/// First byte of every record in the store: the version of its format.
pub const RECORD_FORMAT: u8 = 1;

/// What the managers of a master need of the replicated state.
#[async_trait]
pub trait Store: Send + Sync {
    /// Applies all operations of the command, or none. Returns once a majority of masters has the command on
    /// stable storage and this master has applied it, so that a later [`view`](Self::view) shows it.
    ///
    /// `epoch` is the epoch of the lease under which the caller decided.
    async fn commit(&self, epoch: Epoch, command: Command) -> Result<Committed, CommitError>;

    /// One consistent snapshot of the state that this master has applied.
    fn view(&self) -> Result<Box<dyn View>, ReadError>;

    /// Index of the last command that was answered before this call, whoever was elected then: a state not older than it
    /// holds all that anybody has been told. One round to a majority of masters, shared by all calls that wait for it.
    /// `None`: this master cannot tell, since it does not lead Raft or has lost the majority.
    async fn read_index(&self) -> Option<u64>;

    /// Returns once this master has applied the command at `index`. Waits for ever if none comes: bound it.
    async fn wait_applied(&self, index: u64);

    /// Whether this master is the elected one, and every change of that.
    fn standing(&self) -> watch::Receiver<Standing>;

    /// The latest changes of watched records that this master has applied.
    fn changes(&self) -> Arc<ChangeHistory>;
}
