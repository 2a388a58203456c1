use std::collections::BTreeMap;
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::{SegmentId, SessionId};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::session::{Report, Session};

/// The live sessions of one election. As large as the `session/` records.
#[derive(Debug, Default)]
pub struct SessionTable(Mutex<BTreeMap<SessionId, Session>>);

impl SessionTable {
    /// The sessions found at an election, each with a full timeout from now.
    pub fn new(sessions: impl IntoIterator<Item = SessionId>, now: Instant) -> Self {
        Self(Mutex::new(sessions.into_iter().map(|id| (id, Session::new(id, now))).collect()))
    }

    /// Adds a session just registered.
    pub fn insert(&self, id: SessionId, now: Instant) {
        self.0.lock().insert(id, Session::new(id, now));
    }

    /// Forgets a session whose record is gone.
    pub fn remove(&self, id: SessionId) {
        self.0.lock().remove(&id);
    }

    /// Refuses unless the session lives and nothing is ending it.
    pub fn check(&self, id: SessionId) -> Result<(), Refusal> {
        match self.0.lock().get(&id) {
            Some(session) if !session.is_ending() => Ok(()),
            _ => Err(expired(id)),
        }
    }

    /// Takes a heartbeat.
    pub fn hear(&self, id: SessionId, now: Instant, report: Report) -> Result<(), Refusal> {
        let heard = self.0.lock().get_mut(&id).is_some_and(|session| session.hear(now, report));
        if heard { Ok(()) } else { Err(expired(id)) }
    }

    /// Sessions that have been silent for the whole timeout and that nothing is ending yet.
    pub fn overdue(&self, now: Instant, timeout: Duration, limit: usize) -> Vec<SessionId> {
        let table = self.0.lock();
        let overdue = table.iter().filter(|(_, session)| !session.is_ending() && session.is_overdue(now, timeout));
        overdue.map(|(id, _)| *id).take(limit).collect()
    }

    /// Marks that a command which ends the session is under way, if the session is still as `because` wants it.
    /// `false`: it is not, or it is ending already.
    pub fn begin_ending(&self, id: SessionId, because: impl FnOnce(&Session) -> bool) -> bool {
        match self.0.lock().get_mut(&id) {
            Some(session) if !session.is_ending() && because(session) => {
                session.set_ending(true);
                true
            }
            _ => false,
        }
    }

    /// Takes back [`Self::begin_ending`]: the command did not run.
    pub fn keep(&self, id: SessionId) {
        if let Some(session) = self.0.lock().get_mut(&id) {
            session.set_ending(false);
        }
    }

    /// Whether a blob deleted at `index` may lose these segments as far as every live client is concerned.
    pub fn all_past(&self, index: u64, segments: &[SegmentId]) -> bool {
        self.0.lock().values().all(|session| session.is_past(index, segments))
    }

    /// Sessions in the table.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether there is no session.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn expired(id: SessionId) -> Refusal {
    Refusal::SessionExpired { session: id.to_string() }
}
