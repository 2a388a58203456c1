//! Commands on their way between the elected master and the one that leads Raft.

use std::error::Error;
use std::time::Duration;

use cairn_proto::ids::MasterId;
use cairn_proto::wire::propose_response::Outcome as WireOutcome;
use cairn_proto::{WireRefusal, wire};
use openraft::async_runtime::watch::WatchReceiver;
use tonic::{Request, Status};

use super::super::apply::takes_lease;
use super::super::{Attempt, COMMAND_LIMIT_BYTES, Operation, Outcome, Proposal};
use super::entry_convert::{logged, proposal_from_wire, proposal_to_wire};
use super::group::Group;
use super::peers::Lane;
use super::{InvalidMessage, RequestError};

/// How long the master that leads Raft may take over one attempt before its answer is asked for again.
const FORWARD_DEADLINE: Duration = Duration::from_secs(2);

impl Group {
    /// Has `master`, which leads Raft as far as this master knows, put a command into the log.
    pub(crate) async fn forward(&self, master: u64, proposal: &Proposal) -> Attempt {
        let address = self.raft.server_metrics().borrow_watched().membership_config.get_node(&master).cloned();
        let Some(peer) = address else {
            return Attempt::NotTaken { why: format!("master {master} leads Raft, but is no member") };
        };
        let mut client = match self.peers.client(master, &peer.address, Lane::Commands) {
            Ok(client) => client,
            Err(error) => return Attempt::NotTaken { why: error.to_string() },
        };
        let command = proposal_to_wire(proposal);
        let request =
            wire::ProposeRequest { header: Some(self.peers.header(master, peer.disk)), command: Some(command) };
        let mut request = Request::new(request);
        request.set_timeout(FORWARD_DEADLINE);
        match tokio::time::timeout(FORWARD_DEADLINE, client.propose(request)).await {
            Err(_) => Attempt::Unknown { why: format!("master {master} did not answer in time") },
            Ok(Err(status)) => {
                self.peers.note(master, &status);
                failed(master, status)
            }
            Ok(Ok(answer)) => attempt_from_wire(master, answer.into_inner()),
        }
    }

    /// Takes a command that another master forwards. A master that does not lead passes it on to nobody.
    pub(crate) async fn take(
        &self,
        sender: MasterId,
        command: Option<wire::Command>,
    ) -> Result<wire::ProposeResponse, RequestError> {
        let proposal = proposal_from_wire(command.ok_or_else(|| InvalidMessage::missing("command"))?)?;
        if proposal.leader != sender {
            return Err(InvalidMessage::new("a command of another master").into());
        }
        check(&proposal)?;
        Ok(attempt_to_wire(self.propose(logged(proposal)).await))
    }
}

/// Refuses what no elected master forwards.
fn check(proposal: &Proposal) -> Result<(), InvalidMessage> {
    if proposal.number.is_none() && !takes_lease(&proposal.operations) {
        return Err(InvalidMessage::new("a command without a number that is no write of the lease"));
    }
    let size_bytes: usize = proposal.operations.iter().map(Operation::size_bytes).sum();
    if size_bytes > COMMAND_LIMIT_BYTES {
        return Err(InvalidMessage::new(format!("a command of {size_bytes} bytes")));
    }
    Ok(())
}

fn failed(master: u64, status: Status) -> Attempt {
    let sent = !never_sent(&status);
    let why = format!("master {master}: {status}");
    match WireRefusal::from(status) {
        WireRefusal::Transport(_) if sent => Attempt::Unknown { why },
        WireRefusal::Transport(_) | WireRefusal::Refused(_) => Attempt::NotTaken { why },
    }
}

/// Whether the call failed before anything was sent.
fn never_sent(status: &Status) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn attempt_to_wire(attempt: Attempt) -> wire::ProposeResponse {
    let outcome = match attempt {
        Attempt::Done(Outcome::Applied { index }) => WireOutcome::Applied(index),
        Attempt::Done(Outcome::ConditionFailed { operation }) => WireOutcome::ConditionFailed(operation),
        Attempt::Done(Outcome::Deposed) => WireOutcome::Deposed(true),
        Attempt::Done(Outcome::Answered) => WireOutcome::Answered(true),
        Attempt::NotTaken { why } => WireOutcome::NotTaken(why),
        Attempt::Unknown { why } => WireOutcome::Unknown(why),
    };
    wire::ProposeResponse { outcome: Some(outcome) }
}

/// An answer that makes no sense leaves the outcome open.
fn attempt_from_wire(master: u64, answer: wire::ProposeResponse) -> Attempt {
    match answer.outcome {
        Some(WireOutcome::Applied(index)) => Attempt::Done(Outcome::Applied { index }),
        Some(WireOutcome::ConditionFailed(operation)) => Attempt::Done(Outcome::ConditionFailed { operation }),
        Some(WireOutcome::Deposed(true)) => Attempt::Done(Outcome::Deposed),
        Some(WireOutcome::Answered(true)) => Attempt::Done(Outcome::Answered),
        Some(WireOutcome::NotTaken(why)) => Attempt::NotTaken { why: format!("master {master}: {why}") },
        Some(WireOutcome::Unknown(why)) => Attempt::Unknown { why: format!("master {master}: {why}") },
        Some(WireOutcome::Deposed(false) | WireOutcome::Answered(false)) | None => {
            Attempt::Unknown { why: format!("master {master} answered without an outcome") }
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire;

    use super::{Attempt, Outcome, attempt_from_wire, attempt_to_wire};

    #[test]
    fn every_outcome_survives_the_wire() {
        for outcome in [
            Outcome::Applied { index: 7 },
            Outcome::ConditionFailed { operation: 0 },
            Outcome::Deposed,
            Outcome::Answered,
        ] {
            let attempt = Attempt::Done(outcome);
            assert_eq!(attempt_from_wire(1, attempt_to_wire(attempt.clone())), attempt);
        }
        let empty = attempt_from_wire(1, wire::ProposeResponse::default());
        assert!(matches!(empty, Attempt::Unknown { .. }), "{empty:?}");
    }
}
