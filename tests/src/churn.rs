//! Clients that write blobs and delete them again, so that everything a cluster does in the background has work.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::wait;
use crate::workload::random_bytes;

const THREADS: usize = 2;
/// Blobs that each writer leaves before it deletes the first of them.
const KEPT_BLOBS: usize = 6;
/// In which a writer that is stopped is through.
const PATIENCE: Duration = Duration::from_mins(2);

/// Writers under way.
pub struct Churn {
    runtime: Runtime,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct Shared {
    written: AtomicU64,
    failed: AtomicU64,
}

impl fmt::Debug for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Churn").field("written", &self.written()).finish_non_exhaustive()
    }
}

impl Churn {
    /// Starts so many writers of blobs of up to `size_bytes`, which all go to nodes.
    ///
    /// # Panics
    /// When the cluster is not reached.
    #[must_use]
    pub fn start(masters: Vec<String>, writers: u64, size_bytes: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let options = ClientOptions { kept_contents_bytes: 0, cache_bytes: 0, ..ClientOptions::new(masters, "churn") };
        let client = runtime.block_on(Client::connect(options)).expect("the cluster answers");
        let (tasks, stop, shared) = (TaskTracker::new(), watch::Sender::new(false), Arc::new(Shared::default()));
        for writer in 0..writers {
            let work = write(client.clone(), writer, size_bytes, Arc::clone(&shared), stop.subscribe());
            tasks.spawn_on(work, runtime.handle());
        }
        Self { runtime, shared, tasks, stop }
    }

    /// Blobs that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Waits until so many more blobs are written.
    #[track_caller]
    pub fn wait_written(&self, more: u64) {
        let enough = self.written() + more;
        wait::until_true("more blobs are written", PATIENCE, || self.written() >= enough);
    }

    /// Stops the writers; answers how many operations failed.
    ///
    /// # Panics
    /// When one does not end.
    #[track_caller]
    pub fn stop(self) -> u64 {
        self.stop.send_replace(true);
        self.tasks.close();
        let over = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.tasks.wait()).await });
        assert!(over.is_ok(), "a writer is not through after {PATIENCE:?}");
        self.shared.failed.load(Ordering::Relaxed)
    }
}

async fn write(client: Client, writer: u64, size_bytes: usize, shared: Arc<Shared>, stop: watch::Receiver<bool>) {
    let mut kept = VecDeque::new();
    for number in 0.. {
        if *stop.borrow() {
            return;
        }
        let key = Key::try_from(format!("churn {writer} {number}")).expect("a key");
        let seed = writer << 32 | number;
        let length = 1 + usize::try_from(seed.wrapping_mul(7919)).unwrap_or(1) % size_bytes;
        let outcome = put(&client, &key, &random_bytes(seed, length)).await;
        let counter = if outcome.is_ok() { &shared.written } else { &shared.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        kept.push_back(key);
        if kept.len() > KEPT_BLOBS
            && let Some(oldest) = kept.pop_front()
        {
            match client.delete(&oldest, Precondition::None).await {
                Ok(()) | Err(ClientError::KeyNotFound { .. }) => {}
                Err(_) => drop(shared.failed.fetch_add(1, Ordering::Relaxed)),
            }
        }
    }
}

async fn put(client: &Client, key: &Key, bytes: &[u8]) -> Result<(), ClientError> {
    let mut writer = client.writer(key.clone(), Precondition::None, None);
    writer.write(bytes).await?;
    writer.commit(Attributes::default()).await.map(drop)
}
