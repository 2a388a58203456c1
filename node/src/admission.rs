use std::collections::HashMap;

use cairn_proto::Refusal;
use cairn_proto::ids::{BootId, SessionId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::recent::Recent;

/// Sessions that may be admitted at once.
const SESSIONS: usize = 65_536;

/// Ended sessions that are remembered, so that an admission that comes late does not bring one back.
const REMEMBERED_SESSIONS: usize = 65_536;

/// Which sessions may write here, in this life of the process only: after a restart nobody is admitted, and
/// what was not sealed is gone.
pub(crate) struct Admission {
    boot: BootId,
    state: Mutex<State>,
}

struct State {
    admitted: HashMap<SessionId, CancellationToken>,
    ended: Recent<SessionId>,
}

impl Admission {
    pub(crate) fn new(boot: BootId) -> Self {
        let state = State { admitted: HashMap::new(), ended: Recent::of(REMEMBERED_SESSIONS) };
        Self { boot, state: Mutex::new(state) }
    }

    pub(crate) fn boot(&self) -> BootId {
        self.boot
    }

    /// Admits a session, once or again. An ended one stays ended: its number is never used twice.
    pub(crate) fn admit(&self, session: SessionId) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.ended.contains(session) {
            return Err(not_admitted(session));
        }
        if state.admitted.len() >= SESSIONS && !state.admitted.contains_key(&session) {
            return Err(Refusal::NodeRefusesWrites { why: format!("{SESSIONS} sessions are admitted") });
        }
        state.admitted.entry(session).or_default();
        Ok(())
    }

    /// The session's token, which is cancelled when it ends.
    pub(crate) fn require(&self, session: SessionId) -> Result<CancellationToken, Refusal> {
        self.state.lock().admitted.get(&session).cloned().ok_or_else(|| not_admitted(session))
    }

    /// Ends a session. Whoever looks at its token from now on sees it cancelled.
    pub(crate) fn end(&self, session: SessionId) {
        let mut state = self.state.lock();
        state.ended.insert(session);
        if let Some(token) = state.admitted.remove(&session) {
            token.cancel();
        }
    }
}

pub(crate) fn not_admitted(session: SessionId) -> Refusal {
    Refusal::NotAdmitted { session: session.to_string() }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{BootId, SessionId};

    use super::{Admission, not_admitted};

    const SESSION: SessionId = SessionId(8);

    #[test]
    fn nobody_writes_unadmitted() {
        let admission = Admission::new(BootId::generate());
        assert_eq!(admission.require(SESSION).unwrap_err(), not_admitted(SESSION));
        admission.admit(SESSION).unwrap();
        admission.admit(SESSION).unwrap();
        assert!(!admission.require(SESSION).unwrap().is_cancelled());
    }

    #[test]
    fn an_ended_session_is_cut_and_stays_out() {
        let admission = Admission::new(BootId::generate());
        admission.admit(SESSION).unwrap();
        let token = admission.require(SESSION).unwrap();
        admission.end(SESSION);
        assert!(token.is_cancelled());
        assert_eq!(admission.admit(SESSION), Err(not_admitted(SESSION)));
        assert!(admission.require(SESSION).is_err());
    }

    #[test]
    fn an_end_that_overtakes_the_admission_wins() {
        let admission = Admission::new(BootId::generate());
        admission.end(SESSION);
        assert_eq!(admission.admit(SESSION), Err(not_admitted(SESSION)));
    }
}
