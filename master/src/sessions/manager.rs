use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::SessionId;
use cairn_proto::{Refusal, wire};

use super::{Report, SessionTable};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::keys;
use crate::ledger::Ledger;
use crate::records::{RevocationRecord, SessionRecord};
use crate::state::encode;
use crate::store::{Command, CommitError, Expected};

/// Sessions that may be registered at a time.
const SESSIONS_LIMIT: usize = 100_000;
/// Longest text for people in a registration.
const PURPOSE_LIMIT_BYTES: usize = 1024;
/// Sessions whose end is proposed in one step of the watch.
const EXPIRY_BATCH: usize = 64;

/// Opens, hears and ends sessions.
pub struct Sessions {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    table: SessionTable,
    timeout: Duration,
}

impl Sessions {
    /// The sessions that an election found.
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, found: Vec<SessionId>, timeout: Duration) -> Self {
        let table = SessionTable::new(found, clock.now());
        Self { ledger, clock, table, timeout }
    }

    /// The live sessions.
    pub fn table(&self) -> &SessionTable {
        &self.table
    }

    /// How long a session may be silent.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Registers a client. Its number is the index of the command, so no number is ever used twice.
    pub async fn open(&self, host: String, purpose: String) -> Result<SessionId, Failure> {
        if host.len() > PURPOSE_LIMIT_BYTES || purpose.len() > PURPOSE_LIMIT_BYTES {
            let why = format!("host and purpose of a session have at most {PURPOSE_LIMIT_BYTES} bytes");
            return Err(Refusal::InvalidRequest { why }.into());
        }
        if self.table.len() >= SESSIONS_LIMIT {
            let why = format!("{SESSIONS_LIMIT} sessions are open, which is the limit");
            return Err(Refusal::NotReady { why }.into());
        }
        let record = SessionRecord { host, purpose, opened_at_ms: self.clock.unix_ms() };
        let mut command = Command::new();
        command.put_at_index(keys::SESSIONS, encode(&record));
        let id = SessionId(self.ledger.commit(command).await?);
        self.table.insert(id, self.clock.now());
        Ok(id)
    }

    /// Takes a heartbeat.
    pub fn hear(&self, id: SessionId, report: Report) -> Result<(), Refusal> {
        self.table.hear(id, self.clock.now(), report)
    }

    /// Ends a session because its client asks; one that is gone already is a success.
    pub async fn close(&self, id: SessionId) -> Result<(), Failure> {
        if !self.table.begin_ending(id, |_| true) {
            return Ok(());
        }
        self.end(id, false).await
    }

    /// Ends sessions that were silent for too long; answers which.
    pub async fn expire(&self) -> Result<Vec<SessionId>, Failure> {
        let now = self.clock.now();
        let mut ended = Vec::new();
        for id in self.table.overdue(now, self.timeout, EXPIRY_BATCH) {
            // A heartbeat that came in between wins.
            if self.table.begin_ending(id, |session| session.is_overdue(now, self.timeout)) {
                self.end(id, true).await?;
                tracing::info!(session = %id, "session timed out");
                ended.push(id);
            }
        }
        Ok(ended)
    }

    /// One command removes the record and every reply kept for it, and leaves the order to tell the nodes. From its
    /// index on, no command of the session can apply: each requires the record.
    async fn end(&self, id: SessionId, timed_out: bool) -> Result<(), Failure> {
        let record = RevocationRecord { ended_at_ms: self.clock.unix_ms(), timed_out };
        let mut command = Command::new();
        command.require(keys::session(id), Expected::Present);
        command.delete(keys::session(id));
        for slot in keys::slots(id) {
            command.delete(slot);
        }
        command.put(keys::revocation(id), encode(&record));
        match self.ledger.commit(command).await {
            Ok(_) | Err(CommitError::ConditionFailed { .. }) => {
                self.table.remove(id);
                Ok(())
            }
            Err(error) => {
                self.table.keep(id);
                Err(error.into())
            }
        }
    }
}

impl TryFrom<&wire::HeartbeatRequest> for Report {
    type Error = Refusal;

    fn try_from(request: &wire::HeartbeatRequest) -> Result<Self, Refusal> {
        let open_segments = request
            .open_segments
            .iter()
            .map(|id| cairn_proto::ids::SegmentId::from_wire(id))
            .collect::<Result<_, _>>()?;
        Ok(Self { as_of_index: request.as_of_index, open_segments })
    }
}
