//! Clients that replace and look up files through the client library. The size of a file says which write of it is seen,
//! so that a file is a register in the history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};
use parking_lot::Mutex;
use rand::RngExt;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::answers::Answers;
use crate::history::{Action, History};
use crate::value_load::ValueLoad;

const WRITERS: u64 = 2;
const READERS: u64 = 2;
/// Pause between two requests of a client, at least.
const PACE: Duration = Duration::from_millis(25);
/// Files that all of them share.
const FILES: usize = 2;
/// Clients are numbered from here in the history.
const FIRST_CLIENT: u64 = 500;

/// A load on files, beside one on values and in the same history.
#[derive(Debug)]
pub struct FileLoad {
    runtime: Handle,
    clients: JoinSet<()>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
}

#[derive(Debug)]
struct Shared {
    masters: Vec<String>,
    history: History,
    answers: Answers,
    /// Every write has a size of its own.
    next_size: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// The files that the clients share.
///
/// # Panics
/// Never: the names are plain.
#[must_use]
pub fn shared_file() -> Key {
    let number = rand::rng().random_range(0..FILES);
    Key::try_from(format!("file-{number}")).expect("it is short and plain")
}

/// What a look-up of a file saw, as a value in the history.
#[must_use]
pub fn seen(size_bytes: Option<u64>) -> Bytes {
    size_bytes.map_or_else(Bytes::new, |size| Bytes::from(size.to_string()))
}

impl FileLoad {
    /// Starts the clients.
    #[must_use]
    pub fn start(load: &ValueLoad, masters: Vec<String>) -> Self {
        let shared = Arc::new(Shared {
            masters,
            history: load.history().clone(),
            answers: load.answers().clone(),
            next_size: AtomicU64::new(1),
            failures: Mutex::default(),
        });
        let (runtime, stop) = (load.runtime().handle().clone(), watch::Sender::new(false));
        let mut clients = JoinSet::new();
        for number in 0..WRITERS + READERS {
            let working = Arc::clone(&shared).work(number, stop.subscribe());
            clients.spawn_on(working, &runtime);
        }
        Self { runtime, clients, shared, stop }
    }

    /// Stops the clients once their last requests are answered.
    ///
    /// # Panics
    /// When a request was not answered.
    #[track_caller]
    pub fn end(mut self) {
        self.stop.send_replace(true);
        self.runtime.block_on(async {
            while let Some(ended) = self.clients.join_next().await {
                ended.expect("no client panics");
            }
        });
        let failures = std::mem::take(&mut *self.shared.failures.lock());
        assert_eq!(failures, Vec::<String>::new(), "every request is answered in the end");
    }
}

impl Shared {
    async fn work(self: Arc<Self>, number: u64, stop: watch::Receiver<bool>) {
        let options = ClientOptions::new(self.masters.clone(), "test");
        let client = Client::connect(options).await.unwrap_or_else(|error| panic!("{error}"));
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !*stop.borrow() {
            pace.tick().await;
            let (key, invoked_at) = (shared_file(), Instant::now());
            let size = self.next_size.fetch_add(1, Ordering::Relaxed);
            let action = if number < WRITERS { Action::Put(seen(Some(size))) } else { Action::Get };
            let ticket = self.history.invoke(FIRST_CLIENT + number, key.as_str(), action.clone());
            let answer = match action {
                Action::Get => client.entry(&key).await.map(|entry| seen(entry.map(|entry| entry.size_bytes))),
                _ => replace(&client, key, size).await.map(|()| Bytes::new()),
            };
            match answer {
                Ok(value) => {
                    self.history.answered(ticket, value);
                    self.answers.note(invoked_at);
                }
                Err(error) => self.failures.lock().push(error.to_string()),
            }
        }
        client.close().await;
    }
}

async fn replace(client: &Client, key: Key, size_bytes: u64) -> Result<(), ClientError> {
    let bytes = vec![0; usize::try_from(size_bytes).expect("small")];
    let mut writer = client.writer(key, Precondition::None, None);
    writer.write(&bytes).await?;
    writer.commit(Attributes::default()).await.map(drop)
}
