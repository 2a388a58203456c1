//! Clients that change and read small values through the client library, with all they are told in a history.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_fs::client::{Client, ClientError, ClientOptions};
use cairn_proto::records::Key;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::answers::Answers;
use crate::history::{Action, History, Ticket};
use crate::linearizability::{STEPS_LIMIT, check};
use crate::wait;

/// Threads of all clients together.
const THREADS: usize = 2;
/// Pause between two requests of a client, at least: keeps the histories of long runs within what a checker can search.
const PACE: Duration = Duration::from_millis(15);
/// Keys that the clients share at a time.
const SHARED_KEYS: u64 = 4;
/// Requests after which clients go on to new keys, so that no value grows for ever.
const REQUESTS_PER_KEY_SET: u64 = 1500;
/// How long the load runs undisturbed before a fault.
const QUIET: Duration = Duration::from_secs(2);
/// In which enough requests for any test are answered.
const PATIENCE: Duration = Duration::from_mins(1);

/// A load on the key-value service.
pub struct ValueLoad {
    runtime: Runtime,
    clients: JoinSet<()>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

/// Names keys that the clients of a load use at the moment.
#[derive(Clone)]
pub struct CurrentKeys(Arc<Shared>);

impl CurrentKeys {
    /// One of them.
    pub fn pick(&self) -> Key {
        let set = self.0.requests.load(Ordering::Relaxed) / REQUESTS_PER_KEY_SET;
        key(set, rand::rng().random_range(0..SHARED_KEYS))
    }
}

struct Shared {
    masters: Vec<String>,
    history: History,
    answers: Answers,
    requests: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl fmt::Debug for ValueLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueLoad").field("answers", &self.shared.answers.count()).finish_non_exhaustive()
    }
}

impl ValueLoad {
    /// Starts so many clients of the masters at these addresses, each with a session of its own.
    ///
    /// # Panics
    /// When the machine gives no threads.
    #[must_use]
    pub fn start(masters: Vec<String>, clients: u64) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let shared = Arc::new(Shared {
            masters,
            history: History::default(),
            answers: Answers::default(),
            requests: AtomicU64::new(0),
            failures: Mutex::default(),
        });
        let stop = watch::Sender::new(false);
        let mut load = Self { runtime: runtime.expect("a runtime can be made"), clients: JoinSet::new(), shared, stop };
        for client in 1..=clients {
            let working = Arc::clone(&load.shared).work(client, load.stop.subscribe());
            load.clients.spawn_on(working, load.runtime.handle());
        }
        load
    }

    /// Where the clients run.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// What the clients were told.
    pub fn history(&self) -> &History {
        &self.shared.history
    }

    /// When.
    pub fn answers(&self) -> &Answers {
        &self.shared.answers
    }

    /// Names keys that the clients use at the moment.
    pub fn current_keys(&self) -> CurrentKeys {
        CurrentKeys(Arc::clone(&self.shared))
    }

    /// Waits until so many more requests are answered.
    #[track_caller]
    pub fn wait_answers(&self, more: usize) {
        let enough = self.shared.answers.count() + more;
        let what = format!("{more} more requests are answered; failures: {:?}", self.shared.failures.lock());
        wait::until_true(&what, PATIENCE, || self.shared.answers.count() >= enough);
    }

    /// Lets it run undisturbed; the run is void if too little happens then.
    #[track_caller]
    pub fn quiet(&self) {
        self.wait_answers(1);
        let end = Instant::now() + QUIET;
        wait::until_true("a quiet time passes", PATIENCE, || Instant::now() >= end);
        self.shared.answers.require_load(QUIET / 2);
    }

    /// Waits until a request that was sent after `moment` is answered; returns how long after.
    #[track_caller]
    pub fn wait_service(&self, moment: Instant, limit: Duration) -> Duration {
        wait::until("requests are answered again", limit, || self.shared.answers.service_after(moment))
    }

    /// Stops the clients once their last requests are answered, and reads every key they have used once more.
    ///
    /// # Panics
    /// When a client panicked.
    #[track_caller]
    pub fn end(mut self) -> EndedLoad {
        self.stop.send_replace(true);
        self.runtime.block_on(async {
            while let Some(ended) = self.clients.join_next().await {
                ended.expect("no client panics");
            }
            self.shared.read_all().await;
        });
        EndedLoad {
            history: self.shared.history.clone(),
            answers: self.shared.answers.clone(),
            failures: std::mem::take(&mut *self.shared.failures.lock()),
        }
    }

    /// Ends it in the middle of everything.
    pub fn abandon(self) {
        self.runtime.shutdown_background();
    }
}

/// A load that is over.
#[derive(Debug)]
pub struct EndedLoad {
    /// All that was asked and told.
    pub history: History,
    /// When.
    pub answers: Answers,
    /// Why requests failed that did.
    pub failures: Vec<String>,
}

impl EndedLoad {
    /// Checks that every request was answered, and that the history is linearizable.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.failures, Vec::<String>::new(), "every request is answered in the end");
        check(&self.history.operations(), STEPS_LIMIT).unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Shared {
    async fn work(self: Arc<Self>, client: u64, stop: watch::Receiver<bool>) {
        let library = self.connect().await;
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = 0;
        while !*stop.borrow() {
            pace.tick().await;
            let set = self.requests.fetch_add(1, Ordering::Relaxed) / REQUESTS_PER_KEY_SET;
            let key = key(set, rand::rng().random_range(0..SHARED_KEYS));
            let token = Bytes::from(format!("{client}.{written} "));
            written += 1;
            let action = match rand::rng().random_range(0..100) {
                0..50 => Action::Append(token),
                50..55 => Action::Put(token),
                _ => Action::Get,
            };
            self.request(&library, client, key, action).await;
        }
        library.close().await;
    }

    async fn connect(&self) -> Client {
        let options = ClientOptions::new(self.masters.clone(), "test");
        Client::connect(options).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// One request, to its answer. One of unknown outcome stays in the history without one.
    async fn request(&self, library: &Client, client: u64, key: Key, action: Action) {
        let ticket = self.history.invoke(client, key.as_str(), action.clone());
        let invoked_at = Instant::now();
        let answer = match action {
            Action::Get => library.get_value(&key).await.map(Option::unwrap_or_default),
            Action::Put(value) => library.put_value(&key, value).await.map(|()| Bytes::new()),
            Action::Append(suffix) => library.append_value(&key, suffix).await.map(|()| Bytes::new()),
        };
        self.note(ticket, invoked_at, answer);
    }

    fn note(&self, ticket: Ticket, invoked_at: Instant, answer: Result<Bytes, ClientError>) {
        match answer {
            Ok(value) => {
                self.history.answered(ticket, value);
                self.answers.note(invoked_at);
            }
            Err(error) => self.failures.lock().push(error.to_string()),
        }
    }

    /// What was acknowledged must be there: without a read after it, a loss is not in the history.
    async fn read_all(&self) {
        let reader = self.connect().await;
        let sets = self.requests.load(Ordering::Relaxed) / REQUESTS_PER_KEY_SET;
        for set in 0..=sets {
            for number in 0..SHARED_KEYS {
                self.request(&reader, 0, key(set, number), Action::Get).await;
            }
        }
        reader.close().await;
    }
}

fn key(set: u64, number: u64) -> Key {
    Key::try_from(format!("{set}/{number}")).expect("it is short and plain")
}
