//! The replicated store as one election sees it: commands carry its epoch, reads are inside its lease.

use std::sync::Arc;
use std::time::Duration;

use cairn_proto::Refusal;
use tokio::time::{Instant, timeout};

use crate::failure::Failure;
use crate::state::State;
use crate::store::{Command, CommitError, Epoch, ReadError, Standing, Store, View};

/// How long a read waits for the state that the client has already seen elsewhere.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(2);
/// How long a majority may take to confirm a read before a command is tried instead. Shorter than a client's patience
/// with one attempt: the command must have a chance to be the answer.
const READ_INDEX_DEADLINE: Duration = Duration::from_secs(1);
/// How long a command may take before the caller is told that the outcome is open.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);

/// Reads and commands under one epoch.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    epoch: Epoch,
}

impl Ledger {
    /// The store under the epoch of an election won.
    pub fn new(store: Arc<dyn Store>, epoch: Epoch) -> Self {
        Self { store, epoch }
    }

    /// The epoch of the election.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The applied state of this moment.
    pub fn view(&self) -> Result<Box<dyn View>, ReadError> {
        self.store.view()
    }

    /// The applied state, not older than `min_applied_index`.
    pub async fn view_at(&self, min_applied_index: u64) -> Result<Box<dyn View>, Failure> {
        let view = self.store.view()?;
        if view.applied_index() >= min_applied_index {
            return Ok(view);
        }
        drop(view);
        if timeout(CATCH_UP_DEADLINE, self.store.wait_applied(min_applied_index)).await.is_err() {
            let why = format!("this master has not reached index {min_applied_index} yet");
            return Err(Refusal::NotReady { why }.into());
        }
        Ok(self.store.view()?)
    }

    /// The state of some moment after the call. Unlike [`Self::view_at`] it rests on no clock: a majority confirms that
    /// nobody else has been told of more, by one round or, where this master does not lead Raft, by a command that writes
    /// nothing; and the state itself says that the epoch is still this one.
    pub async fn linearizable_view(&self) -> Result<Box<dyn View>, Failure> {
        let index = match timeout(READ_INDEX_DEADLINE, self.store.read_index()).await {
            Ok(Some(index)) => index,
            Ok(None) | Err(_) => self.commit(Command::new()).await?,
        };
        let view = self.view_at(index).await?;
        match State(view.as_ref()).lease()? {
            Some(lease) if lease.epoch == self.epoch.0 => Ok(view),
            lease => {
                let elected = lease.map(|lease| lease.address).unwrap_or_default();
                Err(Refusal::NotElected { elected }.into())
            }
        }
    }

    /// Commits a command. When it returns an index, a majority has it on stable storage, it is applied here, and a
    /// view opened from now on shows it.
    pub async fn commit(&self, command: Command) -> Result<u64, CommitError> {
        match timeout(COMMIT_DEADLINE, self.store.commit(self.epoch, command)).await {
            Ok(committed) => Ok(committed?.index),
            Err(_) => Err(CommitError::OutcomeUnknown { why: "no majority of masters answered in time".to_owned() }),
        }
    }

    /// Waits until the state is newer than `index`: after a condition failed, whatever broke it was written later than
    /// the view it was planned on.
    pub async fn wait_past(&self, index: u64) -> Result<(), Refusal> {
        timeout(CATCH_UP_DEADLINE, self.store.wait_applied(index + 1))
            .await
            .map_err(|_| Refusal::NotReady { why: format!("this master does not get past index {index}") })
    }

    /// Whether this epoch may serve at `now`; otherwise who may, if known.
    pub fn check_standing(&self, now: Instant) -> Result<(), Refusal> {
        match &*self.store.standing().borrow() {
            Standing::Elected { epoch, serve_until } if *epoch == self.epoch && now < *serve_until => Ok(()),
            Standing::Elected { .. } => Err(Refusal::NotElected { elected: String::new() }),
            Standing::Following { elected } => {
                Err(Refusal::NotElected { elected: elected.clone().unwrap_or_default() })
            }
        }
    }
}
