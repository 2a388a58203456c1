//! The replicated store as one election sees it: commands carry its epoch, reads are inside its lease.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use cairn_proto::Refusal;
use fail::fail_point;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::failure::Failure;
use crate::state::State;
use crate::store::{
    ChangeHistory, Claims, Command, CommandQueue, CommitError, Epoch, ReadError, Standing, Store, StoreSession, Turn,
    View,
};

/// How long a read waits for the state that the client has already seen elsewhere.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(2);
/// How long a majority may take to confirm a read before a command is tried instead. Shorter than a client's patience
/// with one attempt: the command must have a chance to be the answer.
const READ_INDEX_DEADLINE: Duration = Duration::from_secs(1);
/// How long a command may take before the caller is told that the outcome is open.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);
/// How long a command waits for others that use the same keys: longer than one without an answer is waited for.
const TURN_DEADLINE: Duration = Duration::from_secs(12);
/// How often a session is planned anew because a record it read was changed. Each time another command succeeded.
const PLAN_TRIES: usize = 64;

/// Reads and commands under one epoch.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    epoch: Epoch,
    queue: CommandQueue,
}

/// A session that is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transacted<T> {
    /// Log index of its commit; where it wrote nothing, the one that its view shows.
    pub index: u64,
    /// What was planned.
    pub result: T,
}

impl Ledger {
    /// The store under the epoch of an election won.
    pub fn new(store: Arc<dyn Store>, epoch: Epoch) -> Self {
        Self { store, epoch, queue: CommandQueue::default() }
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

    /// Commits a command in its turn. When it returns an index, a majority has it on stable storage, it is applied here,
    /// and a view opened from now on shows it.
    pub async fn commit(&self, command: Command) -> Result<u64, CommitError> {
        let mut turn = self.queue.enter(Claims::of(&command));
        self.come(&mut turn).await?;
        self.propose(command).await
    }

    /// Opens a session, has it planned, and commits it on condition that nothing it read has changed since. If something
    /// has, or may have while the session waited for its turn, `plan` is called again on a session of the newer state:
    /// then with its keys reserved, so that it comes through. A plan that writes nothing is not committed.
    ///
    /// When this returns, what was written is durable on a majority and a view opened from now on shows it.
    pub async fn transact<T>(
        &self,
        mut plan: impl FnMut(&mut StoreSession) -> Result<T, Failure>,
    ) -> Result<Transacted<T>, Failure> {
        let mut turn: Option<Turn> = None;
        for _ in 0..PLAN_TRIES {
            let mut session = StoreSession::new(self.store.view()?);
            let (result, read_at) = (plan(&mut session)?, session.view().applied_index());
            if !session.has_writes() {
                return Ok(Transacted { index: read_at, result });
            }
            let command = session.into_command();
            let claims = Claims::of(&command);
            if turn.as_ref().is_none_or(|turn| !turn.covers(&claims)) {
                // Given up first: who waits for keys while it has others could wait for ever.
                drop(turn.take());
                let next = turn.insert(self.queue.enter(claims));
                if self.come(next).await? {
                    continue;
                }
            }
            match self.propose(command).await {
                Ok(index) => return Ok(Transacted { index, result }),
                Err(CommitError::ConditionFailed { .. }) => self.wait_past(read_at).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Refusal::NotReady { why: "too many others change the same records".to_owned() }.into())
    }

    async fn come(&self, turn: &mut Turn) -> Result<bool, CommitError> {
        let why = || "commands that change the same records do not come through".to_owned();
        timeout(TURN_DEADLINE, turn.come()).await.map_err(|_| CommitError::Unavailable { why: why() })
    }

    async fn propose(&self, command: Command) -> Result<u64, CommitError> {
        fail_point!("command-planned");
        match timeout(COMMIT_DEADLINE, self.store.commit(self.epoch, command)).await {
            Ok(committed) => Ok(committed?.index),
            Err(_) => Err(CommitError::OutcomeUnknown { why: "no majority of masters answered in time".to_owned() }),
        }
    }

    /// Waits until the state is newer than `index`: after a condition failed, whatever broke it was written later than
    /// the view it was planned on.
    async fn wait_past(&self, index: u64) -> Result<(), Refusal> {
        timeout(CATCH_UP_DEADLINE, self.store.wait_applied(index + 1))
            .await
            .map_err(|_| Refusal::NotReady { why: format!("this master does not get past index {index}") })
    }

    /// The latest changes of keys that this master has applied.
    pub fn changes(&self) -> Arc<ChangeHistory> {
        self.store.changes()
    }

    /// Whether this master is elected, and every change of that.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.store.standing()
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
