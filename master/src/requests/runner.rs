use std::cmp::Ordering;
use std::collections::HashMap;

use cairn_proto::Refusal;
use cairn_proto::ids::SessionId;
use fail::fail_point;
use parking_lot::Mutex;
use prost::Message;
use tonic::{Code, Status};

use super::RequestId;
use crate::failure::Failure;
use crate::keys;
use crate::ledger::Ledger;
use crate::records::{Outcome, RefusalRecord, SlotRecord};
use crate::state::{State, Stored, damaged, encode};
use crate::store::{Expected, StoreSession};

/// A reply to a mutation.
pub trait Reply: Message + Default {
    /// Fills in the index at which the mutation was applied: not known when the reply is written.
    fn set_applied_index(&mut self, index: u64);
}

/// What a request comes to.
enum Answer<R> {
    /// What it was answered when it came before, with the index of then.
    Kept(Result<R, Refusal>),
    /// What its commit decides.
    New(Result<R, Refusal>),
}

/// Runs mutations once each.
pub struct Requests {
    ledger: Ledger,
    /// Highest "lowest unanswered" that each client has told.
    answered_below: Mutex<HashMap<SessionId, u64>>,
}

impl Requests {
    /// With nothing in flight.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger, answered_below: Mutex::default() }
    }

    /// Runs a mutation, or answers what it was answered before. Without a record of the client's session it does not
    /// run, now or later; whether it ran before, only a client that sent it once knows to be certain.
    ///
    /// `plan` is called on a fresh session as often as a record it read changes before the commit. When this returns,
    /// reply and effect are durable together.
    pub async fn run<R: Reply>(
        &self,
        id: RequestId,
        mut plan: impl FnMut(&mut StoreSession) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.check_unanswered(id)?;
        let done = self.ledger.transact(|session| self.answer(id, session, &mut plan)).await?;
        fail_point!("request-carried-out");
        match done.result {
            Answer::Kept(reply) => Ok(reply?),
            Answer::New(outcome) => {
                let mut reply = outcome?;
                reply.set_applied_index(done.index);
                Ok(reply)
            }
        }
    }

    /// Forgets a client whose session ended.
    pub fn forget(&self, client: SessionId) {
        self.answered_below.lock().remove(&client);
    }

    fn check_unanswered(&self, id: RequestId) -> Result<(), Refusal> {
        let mut answered_below = self.answered_below.lock();
        let below = answered_below.entry(id.client).or_default();
        *below = (*below).max(id.lowest_unanswered);
        if id.sequence < *below {
            return Err(Refusal::OutcomeUnknown { why: format!("request {} was answered already", id.sequence) });
        }
        Ok(())
    }

    fn answer<R: Reply>(
        &self,
        id: RequestId,
        session: &mut StoreSession,
        plan: &mut impl FnMut(&mut StoreSession) -> Result<R, Failure>,
    ) -> Result<Answer<R>, Failure> {
        let registration = keys::session(id.client);
        if !State(session.view()).exists(&registration)? {
            self.forget(id.client);
            return Err(Refusal::SessionExpired { session: id.client.to_string() }.into());
        }
        if let Some(found) = State(session).slot(id.client, id.sequence)? {
            match found.record.sequence.cmp(&id.sequence) {
                Ordering::Equal => return Ok(Answer::Kept(replay(id, &found)?)),
                Ordering::Greater => {
                    let why = format!("the reply to request {} is not kept any more", id.sequence);
                    return Err(Refusal::OutcomeUnknown { why }.into());
                }
                Ordering::Less => {}
            }
        }
        let outcome = match plan(session) {
            Ok(reply) => Ok(reply),
            Err(Failure::Refused(refusal)) if is_final(&refusal) => {
                session.discard();
                Err(refusal)
            }
            Err(failure) => return Err(failure),
        };
        let record = SlotRecord { sequence: id.sequence, outcome: Some(kept(&outcome)) };
        session.require(registration, Expected::Present);
        session.put(keys::slot(id.client, id.sequence), encode(&record));
        Ok(Answer::New(outcome))
    }
}

/// Whether a refusal is the answer, and not a reason to ask again.
fn is_final(refusal: &Refusal) -> bool {
    !matches!(
        refusal,
        Refusal::NotElected { .. }
            | Refusal::NotReady { .. }
            | Refusal::OutcomeUnknown { .. }
            | Refusal::SessionExpired { .. }
            | Refusal::TooFewNodes { .. }
            | Refusal::NoSpace { .. }
    )
}

fn kept<R: Reply>(outcome: &Result<R, Refusal>) -> Outcome {
    match outcome {
        Ok(reply) => Outcome::Reply(reply.encode_to_vec().into()),
        Err(refusal) => {
            let status = Status::from(refusal.clone());
            Outcome::Refusal(RefusalRecord {
                code: status.code().into(),
                message: status.message().to_owned(),
                details: status.details().to_vec().into(),
            })
        }
    }
}

fn replay<R: Reply>(id: RequestId, slot: &Stored<SlotRecord>) -> Result<Result<R, Refusal>, Failure> {
    let key = keys::slot(id.client, id.sequence);
    let broken = |why: &str| Failure::State(damaged(&key, &why).into());
    match &slot.record.outcome {
        Some(Outcome::Reply(reply)) => {
            let mut reply = R::decode(reply.clone()).map_err(|error| broken(&error.to_string()))?;
            reply.set_applied_index(slot.version);
            Ok(Ok(reply))
        }
        Some(Outcome::Refusal(kept)) => {
            let status = Status::with_details(Code::from_i32(kept.code), &kept.message, kept.details.clone());
            Refusal::from_status(&status).map(Err).ok_or_else(|| broken("a refusal without details"))
        }
        None => Err(broken("no outcome")),
    }
}

macro_rules! replies {
    ($($reply:ident),+) => {$(
        impl Reply for cairn_proto::wire::$reply {
            fn set_applied_index(&mut self, index: u64) {
                self.applied_index = index;
            }
        }
    )+};
}

replies!(
    CommitBlobResponse,
    DeleteResponse,
    SetAttributesResponse,
    RenameResponse,
    PutValueResponse,
    AppendValueResponse
);

#[cfg(test)]
mod tests {
    use super::{RequestId, Requests};
    use crate::failure::Failure;
    use crate::fakes::ledger;
    use crate::keys;
    use crate::ledger::Ledger;
    use crate::records::{NumberRecord, SessionRecord};
    use crate::state::{State, encode};
    use crate::store::{Command, StoreSession};
    use cairn_proto::Refusal;
    use cairn_proto::ids::SessionId;
    use cairn_proto::wire::DeleteResponse;

    async fn session(ledger: &Ledger) -> SessionId {
        let mut command = Command::new();
        command.put_at_index(keys::SESSIONS, encode(&SessionRecord::default()));
        SessionId(ledger.commit(command).await.unwrap())
    }

    fn id(client: SessionId, sequence: u64) -> RequestId {
        RequestId { client, sequence, lowest_unanswered: sequence }
    }

    fn count_up(session: &mut StoreSession) -> Result<DeleteResponse, Failure> {
        let value = State(session).number(b"count")?.map_or(0, |found| found.record) + 1;
        session.put(&b"count"[..], encode(&NumberRecord { value }));
        Ok(DeleteResponse::default())
    }

    fn count(ledger: &Ledger) -> u64 {
        State(ledger.view().unwrap().as_ref()).number(b"count").unwrap().map_or(0, |found| found.record)
    }

    #[tokio::test]
    async fn a_repeated_request_applies_once_and_is_answered_the_same() {
        let ledger = ledger();
        let client = session(&ledger).await;
        let first = Requests::new(ledger.clone()).run(id(client, 1), count_up).await.unwrap();
        let again = Requests::new(ledger.clone()).run(id(client, 1), count_up).await.unwrap();
        assert_eq!(first, again);
        assert!(first.applied_index > 0);
        assert_eq!(count(&ledger), 1);
    }

    #[tokio::test]
    async fn a_refusal_is_kept_like_a_reply() {
        let ledger = ledger();
        let client = session(&ledger).await;
        let requests = Requests::new(ledger.clone());
        let refusal = Refusal::KeyNotFound { key: "a".to_owned() };
        let refused = requests.run::<DeleteResponse>(id(client, 1), |_| Err(refusal.clone().into())).await;
        assert!(matches!(refused, Err(Failure::Refused(found)) if found == refusal));
        let again = requests.run(id(client, 1), count_up).await;
        assert!(matches!(again, Err(Failure::Refused(found)) if found == refusal));
        assert_eq!(count(&ledger), 0);
    }

    #[tokio::test]
    async fn a_reason_to_ask_again_is_not_kept() {
        let ledger = ledger();
        let client = session(&ledger).await;
        let requests = Requests::new(ledger.clone());
        let refusal = Refusal::NotReady { why: "soon".to_owned() };
        assert!(requests.run::<DeleteResponse>(id(client, 1), |_| Err(refusal.clone().into())).await.is_err());
        assert!(requests.run(id(client, 1), count_up).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_without_a_session_never_runs() {
        let ledger = ledger();
        let refused = Requests::new(ledger.clone()).run(id(SessionId(99), 1), count_up).await;
        assert!(matches!(refused, Err(Failure::Refused(Refusal::SessionExpired { .. }))));
        assert_eq!(count(&ledger), 0);
    }

    #[tokio::test]
    async fn a_request_whose_slot_was_used_again_is_unknown() {
        let ledger = ledger();
        let client = session(&ledger).await;
        Requests::new(ledger.clone()).run(id(client, 65), count_up).await.unwrap();
        let late = Requests::new(ledger.clone()).run(id(client, 1), count_up).await;
        assert!(matches!(late, Err(Failure::Refused(Refusal::OutcomeUnknown { .. }))));
        assert_eq!(count(&ledger), 1);
    }

    #[tokio::test]
    async fn a_request_that_the_client_has_an_answer_to_does_not_run_late() {
        let ledger = ledger();
        let client = session(&ledger).await;
        let requests = Requests::new(ledger.clone());
        requests.run(id(client, 5), count_up).await.unwrap();
        let late = RequestId { client, sequence: 4, lowest_unanswered: 4 };
        assert!(matches!(requests.run(late, count_up).await, Err(Failure::Refused(Refusal::OutcomeUnknown { .. }))));
        assert_eq!(count(&ledger), 1);
    }

    #[tokio::test]
    async fn mutations_of_one_record_at_once_all_apply() {
        let ledger = ledger();
        let client = session(&ledger).await;
        let requests = std::sync::Arc::new(Requests::new(ledger.clone()));
        let mut running = tokio::task::JoinSet::new();
        for sequence in 1..=32 {
            let requests = requests.clone();
            let id = RequestId { client, sequence, lowest_unanswered: 1 };
            running.spawn(async move { requests.run(id, count_up).await.map(drop) });
        }
        while let Some(done) = running.join_next().await {
            done.unwrap().unwrap();
        }
        assert_eq!(count(&ledger), 32);
    }
}
