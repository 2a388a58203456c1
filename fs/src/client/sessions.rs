use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::TransactionId;
use cairn_proto::{Refusal, wire};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::ClientError;
use super::masters::{Call, CallError, CallKind, Masters};
use super::open_segments::OpenSegments;
use super::session::Session;

/// A heartbeat that is not answered for this long is given up; the next one says the same and more.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(5);
/// Where Linux says what the host is called.
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";
/// How long the end of a session may take to be told; untold, it times out.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);

/// Opens the client's session when one is needed, keeps it alive, and opens another when it was lost.
#[derive(Debug)]
pub(super) struct Sessions {
    shared: Arc<Shared>,
    /// Ends the heartbeats with the client.
    _stop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    masters: Arc<Masters>,
    open_segments: Arc<OpenSegments>,
    purpose: String,
    current: tokio::sync::Mutex<Option<Arc<Session>>>,
    stop: CancellationToken,
}

impl Sessions {
    pub(super) fn new(masters: Arc<Masters>, open_segments: Arc<OpenSegments>, purpose: String) -> Self {
        let stop = CancellationToken::new();
        let guard = stop.clone().drop_guard();
        let current = tokio::sync::Mutex::default();
        Self { shared: Arc::new(Shared { masters, open_segments, purpose, current, stop }), _stop: guard }
    }

    /// The session, opened if there is none that lives.
    pub(super) async fn current(&self, deadline: Instant) -> Result<Arc<Session>, ClientError> {
        self.shared.current(deadline).await
    }

    /// The session that a transaction belongs to, if it still lives.
    pub(super) async fn of(&self, transaction: TransactionId) -> Result<Arc<Session>, ClientError> {
        let current = self.shared.current.lock().await.clone();
        current
            .filter(|session| session.id() == transaction.session && !session.is_lost())
            .ok_or(ClientError::SessionLost { session: transaction.session })
    }

    /// Ends the session at once, so that the masters need not wait for its timeout.
    pub(super) async fn close(&self) {
        self.shared.stop.cancel();
        let Some(session) = self.shared.current.lock().await.take() else { return };
        session.lose();
        let deadline = Instant::now() + CLOSE_DEADLINE;
        let call = Call { what: "close the session", deadline, kind: CallKind::Mutation };
        let request = wire::CloseSessionRequest { session: session.id().0 };
        let answer = self.shared.masters.call(call, |mut master| async move { master.close_session(request).await });
        if let Err(error) = answer.await {
            tracing::debug!(session = %session.id(), ?error, "left a session to time out");
        }
    }
}

impl Shared {
    async fn current(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Session>, ClientError> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.is_lost()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.open(deadline).await?);
        *current = Some(Arc::clone(&session));
        tokio::spawn(Arc::clone(self).keep_alive(Arc::clone(&session)));
        Ok(session)
    }

    async fn open(&self, deadline: Instant) -> Result<Session, ClientError> {
        const WHAT: &str = "open a session";
        // For people only: a host without a name is none the worse.
        let host = tokio::fs::read_to_string(HOST_NAME_FILE).await.unwrap_or_default().trim().to_owned();
        let request = wire::OpenSessionRequest { host, purpose: self.purpose.clone() };
        // A session that was opened without an answer is never used and times out: asking again is safe.
        let call = Call { what: WHAT, deadline, kind: CallKind::Repeatable };
        let answer = self.masters.call(call, |mut master| {
            let request = request.clone();
            async move { master.open_session(request).await }
        });
        let answer = answer.await.map_err(|error| error.into_client_error(WHAT))?;
        self.open_segments.see(answer.applied_index);
        Session::from_wire(&answer)
    }

    async fn keep_alive(self: Arc<Self>, mut session: Arc<Session>) {
        loop {
            let interval = session.heartbeat_interval();
            let mut beats = interval_at(Instant::now() + interval, interval);
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !session.is_lost() {
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    _ = beats.tick() => self.beat(&session).await,
                }
            }
            match self.replace_lost(&mut beats).await {
                Some(replacement) => session = replacement,
                None => return,
            }
        }
    }

    /// Readers need a session that speaks for their segments; without readers the next write opens one. `None`: none
    /// is needed, or one that is kept alive by somebody else is there.
    async fn replace_lost(&self, pause: &mut Interval) -> Option<Arc<Session>> {
        while !self.open_segments.is_empty() {
            tokio::select! {
                () = self.stop.cancelled() => return None,
                _ = pause.tick() => {}
            }
            let mut current = self.current.lock().await;
            if current.as_ref().is_some_and(|session| !session.is_lost()) {
                return None;
            }
            match self.open(Instant::now() + HEARTBEAT_DEADLINE).await {
                Ok(session) => {
                    let session = Arc::new(session);
                    *current = Some(Arc::clone(&session));
                    return Some(session);
                }
                Err(error) => tracing::warn!(%error, "open files have no session; trying again"),
            }
        }
        None
    }

    async fn beat(&self, session: &Session) {
        let (segments, as_of_index) = self.open_segments.report();
        let request = wire::HeartbeatRequest {
            session: session.id().0,
            transactions: session.transactions(),
            open_segments: segments.into_iter().map(cairn_proto::ids::SegmentId::to_wire).collect(),
            as_of_index,
        };
        let deadline = Instant::now() + HEARTBEAT_DEADLINE;
        let call = Call { what: "keep the session alive", deadline, kind: CallKind::Repeatable };
        let answer = self.masters.call(call, |mut master| {
            let request = request.clone();
            async move { master.heartbeat(request).await }
        });
        match answer.await {
            Ok(answer) => self.open_segments.see(answer.applied_index),
            Err(CallError::Refused { refusal: Refusal::SessionExpired { .. }, .. }) => {
                tracing::warn!(session = %session.id(), "the session expired; what it was writing is lost");
                session.lose();
            }
            Err(error) => tracing::warn!(session = %session.id(), ?error, "a heartbeat failed; trying again"),
        }
    }
}
