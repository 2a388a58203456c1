//! Requests to one master and no other, however long it takes to answer: the client library would go on to the next one,
//! and what a master says late would be heard by nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_proto::wire::key_value_client::KeyValueClient;
use cairn_proto::wire::metadata_client::MetadataClient;
use cairn_proto::{Refusal, WireRefusal, wire};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::file_load::{seen, shared_file};
use crate::history::{Action, History};
use crate::value_load::{CurrentKeys, ValueLoad};
use crate::wait;

/// Clients of each kind that send one request after the other.
const CLIENTS: usize = 6;
/// Pause between two requests of one of them.
const PACE: Duration = Duration::from_millis(5);
/// How often one more is sent that waits for nobody: also while nothing is answered.
const STEADY_PACE: Duration = Duration::from_millis(50);
/// Requests sent meanwhile that tell that time has passed: one of each client that then waits for its answer, and the
/// rest by those who wait for nobody, at the pace above.
const FURTHER_REQUESTS: u64 = 3 * CLIENTS as u64 + 6;
/// Clients are numbered from here in the history.
const FIRST_CLIENT: u64 = 1000;
/// In which what a test waits for is done.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is asked of the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirectKind {
    /// The value of a key.
    Get,
    /// A file by its name.
    LookUp,
    /// To make a value longer.
    Append,
}

impl DirectKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Get, Self::LookUp, Self::Append];
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectOutcome {
    /// The master served it.
    Served,
    /// The master refused.
    Refused(Refusal),
    /// The connection broke.
    Broken(String),
}

/// A request that is over.
#[derive(Debug, Clone)]
pub struct DirectRequest {
    /// What was asked.
    pub kind: DirectKind,
    /// When.
    pub sent_at: Instant,
    /// When it was over.
    pub ended_at: Instant,
    /// What became of it.
    pub outcome: DirectOutcome,
}

/// Requests under way, all of them in the history of a load.
#[derive(Debug)]
pub struct DirectRequests {
    tasks: TaskTracker,
    stop: watch::Sender<bool>,
    shared: Arc<Shared>,
}

struct Shared {
    address: String,
    keys: CurrentKeys,
    history: History,
    next_client: AtomicU64,
    under_way: Mutex<UnderWay>,
    ended: Mutex<Vec<DirectRequest>>,
}

/// Requests without an answer.
#[derive(Default)]
struct UnderWay {
    sent: u64,
    since: BTreeMap<u64, (DirectKind, Instant)>,
}

/// A request that was sent.
struct Sent {
    number: u64,
    kind: DirectKind,
    at: Instant,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("address", &self.address).finish_non_exhaustive()
    }
}

impl DirectRequests {
    /// Starts clients of the master at `address`, which must be elected.
    #[must_use]
    pub fn start(load: &ValueLoad, address: &str) -> Self {
        let shared = Arc::new(Shared {
            address: address.to_owned(),
            keys: load.current_keys(),
            history: load.history().clone(),
            next_client: AtomicU64::new(FIRST_CLIENT),
            under_way: Mutex::default(),
            ended: Mutex::default(),
        });
        let (tasks, stop) = (TaskTracker::new(), watch::Sender::new(false));
        let runtime = load.runtime().handle();
        for kind in [DirectKind::Get, DirectKind::LookUp] {
            for _ in 0..CLIENTS {
                tasks.spawn_on(Arc::clone(&shared).one_by_one(kind, stop.subscribe()), runtime);
            }
            tasks.spawn_on(Arc::clone(&shared).steadily(kind, tasks.clone(), stop.subscribe()), runtime);
        }
        for _ in 0..CLIENTS {
            tasks.spawn_on(Arc::clone(&shared).append(stop.subscribe()), runtime);
        }
        Self { tasks, stop, shared }
    }

    /// Waits until so many more requests are over.
    #[track_caller]
    pub fn wait_ended(&self, more: usize) {
        let enough = self.shared.ended.lock().len() + more;
        let what = format!("{more} more direct requests are over");
        wait::until_true(&what, PATIENCE, || self.shared.ended.lock().len() >= enough);
    }

    /// Waits until so many requests of each kind that were sent after this moment are over, whatever has piled up until then.
    #[track_caller]
    pub fn wait_ended_of_each(&self, moment: Instant, count: usize) {
        let what = format!("{count} direct requests of each kind are sent and over");
        wait::until_true(&what, PATIENCE, || {
            let ended = self.shared.ended.lock();
            let of = |kind| ended.iter().filter(|request| request.kind == kind && request.sent_at > moment).count();
            DirectKind::ALL.into_iter().all(|kind| of(kind) >= count)
        });
    }

    /// Whether a request of each kind that was sent before this moment is still without an answer, once further ones have
    /// been sent: so that no answer is on its way any more.
    #[track_caller]
    pub fn are_under_way_since(&self, moment: Instant) -> bool {
        let enough = self.shared.under_way.lock().sent + FURTHER_REQUESTS;
        wait::until_true("further direct requests are sent", PATIENCE, || self.shared.under_way.lock().sent >= enough);
        let under_way = self.shared.under_way.lock();
        let is_under_way = |kind| under_way.since.values().any(|(of, sent_at)| *of == kind && *sent_at < moment);
        DirectKind::ALL.into_iter().all(is_under_way)
    }

    /// Sends nothing more, waits until every request is over, and tells what became of them.
    #[track_caller]
    pub fn end(self, load: &ValueLoad) -> Vec<DirectRequest> {
        self.stop.send_replace(true);
        self.tasks.close();
        let over = load.runtime().block_on(async { tokio::time::timeout(PATIENCE, self.tasks.wait()).await });
        assert!(over.is_ok(), "a request to {} is not over after {PATIENCE:?}", self.shared.address);
        self.shared.ended.lock().clone()
    }
}

impl Shared {
    /// A connection that is never given up for silence.
    fn connection(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address));
        endpoint.expect("the address of a master").connect_lazy()
    }

    async fn one_by_one(self: Arc<Self>, kind: DirectKind, stop: watch::Receiver<bool>) {
        let connection = self.connection();
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            pace.tick().await;
            self.read(kind, connection.clone()).await;
        }
    }

    async fn steadily(self: Arc<Self>, kind: DirectKind, tasks: TaskTracker, stop: watch::Receiver<bool>) {
        let connection = self.connection();
        let mut pace = interval(STEADY_PACE);
        while !*stop.borrow() {
            pace.tick().await;
            let (shared, connection) = (Arc::clone(&self), connection.clone());
            tasks.spawn(async move { shared.read(kind, connection).await });
        }
    }

    async fn read(&self, kind: DirectKind, connection: Channel) {
        let key = if kind == DirectKind::Get { self.keys.pick() } else { shared_file() };
        let ticket = self.history.invoke(self.next_client(), key.as_str(), Action::Get);
        let (sent, key) = (self.send(kind), key.as_str().to_owned());
        let answer = match kind {
            DirectKind::LookUp => look_up(connection, key).await,
            _ => get(connection, key).await,
        };
        if let Ok(value) = &answer {
            self.history.answered(ticket, value.clone());
        }
        self.note(&sent, answer);
    }

    /// Appends in a session of its own, which nobody keeps alive.
    async fn append(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let connection = self.connection();
        let (mut metadata, mut values) = (MetadataClient::new(connection.clone()), KeyValueClient::new(connection));
        let request = wire::OpenSessionRequest { host: String::new(), purpose: "test".to_owned() };
        let session = metadata.open_session(request).await.expect("the elected master opens a session");
        let client = session.into_inner().session;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sequence = 0;
        while !*stop.borrow() {
            pace.tick().await;
            sequence += 1;
            let (key, suffix) = (self.keys.pick(), Bytes::from(format!("direct {client}.{sequence} ")));
            let ticket = self.history.invoke(self.next_client(), key.as_str(), Action::Append(suffix.clone()));
            let sent = self.send(DirectKind::Append);
            let id = wire::RequestId { client, sequence, lowest_unanswered: sequence };
            let request = wire::AppendValueRequest { request: Some(id), key: key.as_str().to_owned(), suffix };
            let answer = values.append(request).await.map(|_| Bytes::new());
            if let Ok(nothing) = &answer {
                self.history.answered(ticket, nothing.clone());
            }
            self.note(&sent, answer);
        }
    }

    fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    fn send(&self, kind: DirectKind) -> Sent {
        let mut under_way = self.under_way.lock();
        under_way.sent += 1;
        let (number, at) = (under_way.sent, Instant::now());
        under_way.since.insert(number, (kind, at));
        Sent { number, kind, at }
    }

    fn note(&self, sent: &Sent, answer: Result<Bytes, Status>) {
        let outcome = match answer {
            Ok(_) => DirectOutcome::Served,
            Err(status) => match WireRefusal::from(status) {
                WireRefusal::Refused(refusal) => DirectOutcome::Refused(refusal),
                WireRefusal::Transport(status) => DirectOutcome::Broken(status.to_string()),
            },
        };
        self.under_way.lock().since.remove(&sent.number);
        let (kind, sent_at) = (sent.kind, sent.at);
        self.ended.lock().push(DirectRequest { kind, sent_at, ended_at: Instant::now(), outcome });
    }
}

async fn get(connection: Channel, key: String) -> Result<Bytes, Status> {
    let answer = KeyValueClient::new(connection).get(wire::GetValueRequest { key }).await?;
    Ok(answer.into_inner().value.unwrap_or_default())
}

async fn look_up(connection: Channel, key: String) -> Result<Bytes, Status> {
    let target = Some(wire::look_up_request::Target::Key(key));
    let request = wire::LookUpRequest { target, min_applied_index: 0, entry_only: true };
    match MetadataClient::new(connection).look_up(request).await {
        Ok(answer) => Ok(seen(answer.into_inner().entry.map(|entry| entry.size_bytes))),
        Err(status) => match WireRefusal::from(status.clone()) {
            WireRefusal::Refused(Refusal::KeyNotFound { .. }) => Ok(seen(None)),
            _ => Err(status),
        },
    }
}
