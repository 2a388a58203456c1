use std::sync::Arc;
use std::time::Duration;

use cairn_proto::records::KeyChange;
use cairn_proto::{Refusal, WireRefusal, wire};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Status, Streaming};

use super::backoff::Backoff;
use super::connection::Connection;
use super::masters::{Call, CallError, CallKind};
use super::{Client, ClientError, transport};

/// What is done, for messages.
const WHAT: &str = "watch keys";
/// A master sends a message every second: after this long without one the watch is cut off.
const SILENCE_LIMIT: Duration = Duration::from_secs(3);
/// How long is tried for a master that serves the watch, before it is tried anew.
const OPENING_LIMIT: Duration = Duration::from_secs(5);

/// What a watcher of keys is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// The watch begins: every change behind this index will be told.
    Begun {
        /// The index.
        applied_index: u64,
    },
    /// These changes follow on what was told before, each told once, and there are no others up to the index.
    Changes {
        /// The changes, in the order in which they were made; none, while nothing changes.
        changes: Vec<KeyChange>,
        /// The index.
        applied_index: u64,
    },
    /// Changes in between are not known: whoever keeps something reads it again. Every change behind this index will be
    /// told.
    HistoryLost {
        /// The index.
        applied_index: u64,
    },
    /// No master has said anything for three seconds. What changes meanwhile is told later, or lost.
    CutOff,
}

/// A watch of the keys that match a pattern. It goes on at another master by itself, where it was.
#[derive(Debug)]
pub struct KeyWatch {
    connection: Arc<Connection>,
    pattern: String,
    messages: Option<Streaming<wire::WatchResponse>>,
    has_begun: bool,
    /// Every change up to here was told; none before the watch begins, or begins anew.
    position: Option<u64>,
    is_cut_off: bool,
    heard_at: Instant,
    /// It is of all keys: the client knows what they are as long as it goes on.
    tells_all: bool,
    /// Told next: changes that came with the beginning.
    queued: Option<WatchEvent>,
    backoff: Backoff,
}

impl Client {
    /// Watches the keys that match the shell pattern (empty: all), from the moment of its first event on.
    pub fn watch(&self, pattern: &str) -> KeyWatch {
        KeyWatch {
            connection: Arc::clone(&self.connection),
            pattern: pattern.to_owned(),
            messages: None,
            has_begun: false,
            position: None,
            is_cut_off: false,
            heard_at: Instant::now(),
            tells_all: pattern.is_empty(),
            queued: None,
            backoff: Backoff::new(),
        }
    }

    /// Whether the command at `index` is known to be a change that this client made. Only the latest are remembered.
    pub fn made_change(&self, index: u64) -> bool {
        self.connection.own_changes.contains(index)
    }
}

impl KeyWatch {
    /// The next event, as long as it takes. May be broken off and called again, also after an error.
    ///
    /// # Errors
    /// When a master refuses the watch, or answers what no correct one answers.
    pub async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        if let Some(event) = self.queued.take() {
            return Ok(event);
        }
        let heard = if self.is_cut_off || !self.has_begun {
            self.hear().await
        } else {
            timeout_at(self.heard_at + SILENCE_LIMIT, self.hear()).await.unwrap_or_else(|_| {
                self.is_cut_off = true;
                self.messages = None;
                Ok(WatchEvent::CutOff)
            })
        };
        if !matches!(heard, Ok(WatchEvent::Begun { .. } | WatchEvent::HistoryLost { .. } | WatchEvent::Changes { .. }))
        {
            self.lose_track();
        }
        heard
    }

    /// From now on changes may be made that are told late, or not at all.
    fn lose_track(&self) {
        if self.tells_all {
            self.connection.known_keys.lose_track();
        }
    }

    async fn hear(&mut self) -> Result<WatchEvent, ClientError> {
        loop {
            let messages = match &mut self.messages {
                Some(messages) => messages,
                none => none.insert(open(&self.connection, &self.pattern, self.position).await?),
            };
            let heard = timeout(SILENCE_LIMIT, messages.message()).await;
            if let Ok(Ok(Some(message))) = heard {
                return self.take(message);
            }
            self.messages = None;
            if let Ok(Err(status)) = heard {
                self.note_end(status)?;
            }
            self.backoff.wait(Instant::now() + OPENING_LIMIT).await;
        }
    }

    /// Why a stream ended. An election, or a connection that broke, is no reason to end the watch.
    fn note_end(&mut self, status: Status) -> Result<(), ClientError> {
        match WireRefusal::from(status) {
            WireRefusal::Refused(Refusal::HistoryLost { lost }) => {
                tracing::info!(lost, position = self.position, "changes of keys were missed");
                self.position = None;
                self.lose_track();
            }
            WireRefusal::Refused(refusal @ (Refusal::NotElected { .. } | Refusal::NotReady { .. })) => {
                tracing::debug!(%refusal, "the watch goes on elsewhere");
            }
            WireRefusal::Refused(refusal) => return Err(ClientError::from_refusal(WHAT, refusal)),
            WireRefusal::Transport(status) => {
                tracing::debug!(why = transport::describe(&status), "the watch broke off and goes on");
            }
        }
        Ok(())
    }

    fn take(&mut self, message: wire::WatchResponse) -> Result<WatchEvent, ClientError> {
        let (changes, applied_index) = match checked(message, self.position) {
            Ok(checked) => checked,
            Err(error) => {
                self.messages = None;
                return Err(error);
            }
        };
        // Before anybody acts on it: what is asked from now on must not be older.
        self.connection.open_segments.see(applied_index);
        self.heard_at = Instant::now();
        self.is_cut_off = false;
        self.backoff = Backoff::new();
        if self.position.replace(applied_index).is_some() {
            if self.tells_all {
                self.connection.known_keys.tell(&changes);
            }
            return Ok(WatchEvent::Changes { changes, applied_index });
        }
        let begun_at = changes.first().map_or(applied_index, |first| first.index - 1);
        if self.tells_all {
            self.connection.known_keys.begin(begun_at);
            self.connection.known_keys.tell(&changes);
        }
        if !changes.is_empty() {
            self.queued = Some(WatchEvent::Changes { changes, applied_index });
        }
        if std::mem::replace(&mut self.has_begun, true) {
            Ok(WatchEvent::HistoryLost { applied_index: begun_at })
        } else {
            Ok(WatchEvent::Begun { applied_index: begun_at })
        }
    }
}

impl Drop for KeyWatch {
    fn drop(&mut self) {
        self.lose_track();
    }
}

/// Finds a master that serves the watch, however long that takes.
async fn open(
    connection: &Connection,
    pattern: &str,
    after_index: Option<u64>,
) -> Result<Streaming<wire::WatchResponse>, ClientError> {
    let request = wire::WatchRequest { pattern: pattern.to_owned(), after_index };
    loop {
        let call = Call { what: WHAT, deadline: Instant::now() + OPENING_LIMIT, kind: CallKind::Repeatable };
        let answer = connection.masters.call(call, |mut master| {
            let request = request.clone();
            async move { master.watch(request).await }
        });
        match answer.await {
            Ok(messages) => return Ok(messages),
            Err(CallError::GaveUp(error)) => tracing::debug!(%error, "nobody serves the watch yet"),
            Err(refused @ CallError::Refused { .. }) => return Err(refused.into_client_error(WHAT)),
        }
    }
}

/// A message whose changes follow on `position`, and on one another.
fn checked(message: wire::WatchResponse, position: Option<u64>) -> Result<(Vec<KeyChange>, u64), ClientError> {
    let broken = |why: String| ClientError::protocol("master", why);
    let applied_index = message.applied_index;
    let mut changes = Vec::with_capacity(message.changes.len());
    let (told, mut last) = (position.unwrap_or(0), 0);
    for change in message.changes {
        let change = KeyChange::try_from(change).map_err(|refusal| broken(refusal.to_string()))?;
        if change.index <= told || change.index < last || change.index > applied_index {
            return Err(broken(format!("a change at index {} out of its turn", change.index)));
        }
        last = change.index;
        changes.push(change);
    }
    if applied_index < told {
        return Err(broken(format!("the keys went back from index {told} to {applied_index}")));
    }
    Ok((changes, applied_index))
}
