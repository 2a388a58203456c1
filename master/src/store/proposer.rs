use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{CommandId, MasterId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::async_trait;

use super::attempt::Attempt;
use super::command_numbers::CommandNumbers;
use super::raft::{LoggedCommand, logged};
use super::state_store::StateStore;
use super::{Command, CommitError, Committed, Epoch, Group, Outcome, Proposal, Standing};
use crate::lease::keeper::LeaseStore;

/// How long a commit waits before its outcome counts as unknown.
const COMMIT_DEADLINE: Duration = Duration::from_secs(10);
/// Pause before the next attempt where no change of the Raft leader comes first.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Has commands applied in this master's name: here while it leads Raft, and otherwise by the master that does.
#[derive(Clone)]
pub(super) struct Proposer {
    id: MasterId,
    group: Group,
    state: Arc<StateStore>,
    standing: watch::Receiver<Standing>,
    numbers: CommandNumbers,
}

/// The attempts for one command so far.
#[derive(Default)]
struct History {
    /// Why it may be in the log already.
    doubt: Option<String>,
    last: String,
}

impl Proposer {
    pub(super) fn new(id: MasterId, group: Group, state: Arc<StateStore>, standing: watch::Receiver<Standing>) -> Self {
        Self { id, group, state, standing, numbers: CommandNumbers::default() }
    }

    pub(super) fn id(&self) -> MasterId {
        self.id
    }

    pub(super) fn group(&self) -> &Group {
        &self.group
    }

    /// A command under the epoch of this master's own lease. Other epochs are not its to number commands in.
    pub(super) async fn commit(&self, epoch: Epoch, command: Command) -> Result<Committed, CommitError> {
        match *self.standing.borrow() {
            Standing::Elected { epoch: held, .. } if held == epoch => {}
            Standing::Elected { .. } => return Err(CommitError::Deposed),
            Standing::Following { .. } => {
                return Err(CommitError::Unavailable { why: "this master is not elected".to_owned() });
            }
        }
        let deadline = Instant::now() + COMMIT_DEADLINE;
        let under_way = timeout_at(deadline, self.numbers.next())
            .await
            .map_err(|_| CommitError::Unavailable { why: "too many commands are under way".to_owned() })?;
        let proposal = Proposal {
            leader: self.id,
            epoch,
            // Only unlike all others: one that tells the time takes a call of the system.
            id: CommandId::from_bytes(rand::random()),
            number: Some(under_way.number()),
            operations: command.into_operations(),
        };
        self.run(logged(proposal), deadline).await
    }

    /// Tries until the command is through the log, the deadline is over, or trying again makes no sense.
    async fn run(&self, command: LoggedCommand, deadline: Instant) -> Result<Committed, CommitError> {
        let mut history = History::default();
        let mut leader = self.group.leader();
        loop {
            let attempt = timeout_at(deadline, self.attempt(&command, &mut leader)).await;
            match attempt.unwrap_or_else(|_| Attempt::Unknown { why: "no answer in time".to_owned() }) {
                Attempt::Done(outcome) => return self.settle(outcome, history, deadline).await,
                Attempt::NotTaken { why } => history.last = why,
                Attempt::Unknown { why } => history.doubt = Some(why),
            }
            let repeatable = command.proposal().number.is_some() || history.doubt.is_none();
            if !repeatable || Instant::now() >= deadline || !self.may_go_on(command.proposal()) {
                return Err(history.gave_up());
            }
            let until = deadline.min(Instant::now() + RETRY_PAUSE);
            if timeout_at(until, leader.changed()).await.is_ok_and(|changed| changed.is_err()) {
                return Err(history.gave_up());
            }
        }
    }

    async fn attempt(&self, command: &LoggedCommand, leader: &mut watch::Receiver<Option<u64>>) -> Attempt {
        let target = *leader.borrow_and_update();
        match target {
            None => Attempt::NotTaken { why: "no master leads Raft".to_owned() },
            Some(master) if master == self.group.me() => self.group.propose(command.clone()).await,
            Some(master) => tokio::select! {
                // On the heap, so that the usual way is not as large as this one.
                attempt = Box::pin(self.group.forward(master, command.proposal())) => attempt,
                _ = leader.changed() => {
                    Attempt::Unknown { why: format!("master {master} ceased to lead Raft before it answered") }
                }
            },
        }
    }

    /// What an outcome means to the caller. This master has then applied what the command wrote.
    async fn settle(&self, outcome: Outcome, history: History, deadline: Instant) -> Result<Committed, CommitError> {
        match outcome {
            Outcome::Applied { index } => {
                let mut applied = self.state.applied();
                let reached = timeout_at(deadline, applied.wait_for(|applied| *applied >= index)).await;
                match reached {
                    Ok(Ok(_)) => Ok(Committed { index }),
                    Ok(Err(_)) | Err(_) => Err(unknown(format!("this master has not reached index {index} in time"))),
                }
            }
            Outcome::ConditionFailed { operation } => {
                Err(CommitError::ConditionFailed { operation: operation as usize })
            }
            // An earlier attempt may have come in before the lease changed hands.
            Outcome::Deposed => Err(history.doubt.map_or(CommitError::Deposed, unknown)),
            Outcome::Answered => Err(unknown("a later command came first".to_owned())),
        }
    }

    /// Inside its lease a master goes on trying; afterwards nothing that it proposes is worth waiting for.
    fn may_go_on(&self, proposal: &Proposal) -> bool {
        let held = self.standing.borrow().epoch_at(Instant::now());
        proposal.number.is_none() || held == Some(proposal.epoch)
    }
}

impl History {
    fn gave_up(self) -> CommitError {
        match self.doubt {
            Some(why) => unknown(why),
            None => CommitError::Unavailable { why: self.last },
        }
    }
}

fn unknown(why: String) -> CommitError {
    CommitError::OutcomeUnknown { why }
}

#[async_trait]
impl LeaseStore for Proposer {
    /// A write of the lease is conditional on the version it replaces, so a copy does nothing; but the refusal of a
    /// copy says nothing about the first, so it is not sent again once it may be in the log.
    async fn propose(&self, command: Command, limit: Duration) -> Result<(), CommitError> {
        let (leader, epoch, id) = (self.id, Epoch(0), CommandId::generate());
        let proposal = Proposal { leader, epoch, id, number: None, operations: command.into_operations() };
        self.run(logged(proposal), Instant::now() + limit).await.map(drop)
    }
}
