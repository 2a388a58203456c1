//! Clients that write blobs through the client library, and what of them must be there afterwards.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};
use cairn_proto::wire;
use parking_lot::Mutex;
use rand::RngExt;
use tokio::runtime::{Builder, Runtime};

use crate::answers::Answers;
use crate::wait;
use crate::workload::random_bytes;

const THREADS: usize = 2;
/// Clients that write blobs which go through the log of a node.
const SMALL_WRITERS: usize = 16;
const SMALL_BYTES: std::ops::RangeInclusive<usize> = 1..=65_536;
/// One more writes blobs which go to tables of their own: so many, and the power goes with one of them half written, or
/// with nothing but small ones in the log.
const LARGE_BLOBS: std::ops::RangeInclusive<usize> = 2..=3;
const LARGE_BYTES: std::ops::RangeInclusive<usize> = 9 << 20..=12 << 20;
/// In which a blob can be read once its node serves.
const READ_DEADLINE: Duration = Duration::from_secs(5);
/// In which enough blobs for any test are committed.
const PATIENCE: Duration = Duration::from_mins(2);

/// Writers under way.
pub struct BlobLoad {
    runtime: Runtime,
    shared: Arc<Shared>,
}

/// Blobs whose commit was acknowledged.
#[derive(Debug)]
pub struct CommittedBlobs {
    blobs: Vec<Committed>,
}

#[derive(Debug, Clone)]
struct Committed {
    key: Key,
    seed: u64,
    size_bytes: usize,
}

struct Shared {
    masters: Vec<String>,
    next: AtomicU64,
    answers: Answers,
    committed: Mutex<Vec<Committed>>,
    failures: Mutex<Vec<String>>,
}

impl fmt::Debug for BlobLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobLoad").field("answers", &self.shared.answers.count()).finish_non_exhaustive()
    }
}

impl BlobLoad {
    /// Starts the writers once a node serves.
    ///
    /// # Panics
    /// When none does.
    #[must_use]
    pub fn start(masters: Vec<String>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let asking = runtime.block_on(connect(&masters, PATIENCE));
        wait::until_true("a node serves", PATIENCE, || runtime.block_on(a_node_serves(&asking)));
        let shared = Arc::new(Shared {
            masters,
            // Keys of several loads on one cluster differ, and say which bytes they have.
            next: AtomicU64::new(u64::from(rand::random::<u32>()) << 32),
            answers: Answers::default(),
            committed: Mutex::default(),
            failures: Mutex::default(),
        });
        for _ in 0..SMALL_WRITERS {
            runtime.spawn(Arc::clone(&shared).work(SMALL_BYTES, usize::MAX));
        }
        runtime.spawn(Arc::clone(&shared).work(LARGE_BYTES, rand::rng().random_range(LARGE_BLOBS)));
        Self { runtime, shared }
    }

    /// Waits until large blobs are committed, and then so many more of any size: with a large one, a node has what it held
    /// of the others written out. The run is void if that was too slow.
    ///
    /// # Panics
    /// When a blob could not be written.
    #[track_caller]
    pub fn run_until(&self, more: usize) {
        self.wait_committed("large blobs are committed", || {
            let is_large = |blob: &&Committed| blob.size_bytes >= *LARGE_BYTES.start();
            self.shared.committed.lock().iter().filter(is_large).count() >= *LARGE_BLOBS.start()
        });
        let enough = self.shared.committed.lock().len() + more;
        self.wait_committed("more blobs are committed", || self.shared.committed.lock().len() >= enough);
        self.shared.answers.require_load(Duration::from_secs(2));
    }

    /// Blobs that were committed in a second, lately.
    pub fn rate(&self) -> f64 {
        self.shared.answers.rate(Duration::from_secs(2))
    }

    #[track_caller]
    fn wait_committed(&self, what: &str, enough: impl Fn() -> bool) {
        wait::until_true(what, PATIENCE, || {
            let failures = self.shared.failures.lock().clone();
            assert_eq!(failures, Vec::<String>::new(), "every blob is written before the fault");
            enough()
        });
    }

    /// Ends the writers in the middle of everything.
    pub fn abandon(self) -> CommittedBlobs {
        let blobs = self.shared.committed.lock().clone();
        self.runtime.shutdown_background();
        CommittedBlobs { blobs }
    }
}

impl Shared {
    async fn work(self: Arc<Self>, sizes: std::ops::RangeInclusive<usize>, count: usize) {
        let client = connect(&self.masters, PATIENCE).await;
        for _ in 0..count {
            let seed = self.next.fetch_add(1, Ordering::Relaxed);
            let size_bytes = rand::rng().random_range(sizes.clone());
            let key = Key::try_from(format!("blob-{seed}")).expect("it is short and plain");
            let invoked_at = Instant::now();
            match write(&client, &key, &random_bytes(seed, size_bytes)).await {
                Ok(()) => {
                    self.committed.lock().push(Committed { key, seed, size_bytes });
                    self.answers.note(invoked_at);
                }
                Err(error) => self.failures.lock().push(error.to_string()),
            }
        }
    }
}

impl CommittedBlobs {
    /// How many.
    pub fn count(&self) -> usize {
        self.blobs.len()
    }

    /// Bytes of all.
    pub fn bytes(&self) -> usize {
        self.blobs.iter().map(|blob| blob.size_bytes).sum()
    }

    /// Reads every one of them through a new client, once a node serves, and compares all bytes; says what is lost.
    ///
    /// # Panics
    /// When the machine gives no threads.
    pub fn read_all(&self, masters: &[String], return_deadline: Duration) -> Result<(), String> {
        let runtime = Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let asking = runtime.block_on(connect(masters, return_deadline));
        let serves = || runtime.block_on(a_node_serves(&asking)).then_some(());
        wait::within(return_deadline, serves).ok_or("no node serves")?;
        let client = runtime.block_on(connect(masters, READ_DEADLINE));
        for blob in &self.blobs {
            let found = runtime.block_on(read(&client, &blob.key));
            blob.compare(found.map_err(|error| format!("{} is lost: {error}", blob.key.as_str()))?)?;
        }
        runtime.block_on(client.close());
        runtime.block_on(asking.close());
        Ok(())
    }
}

impl Committed {
    fn compare(&self, found: Option<Vec<u8>>) -> Result<(), String> {
        match found {
            None => Err(format!("{} was committed and is gone", self.key.as_str())),
            Some(bytes) if bytes != random_bytes(self.seed, self.size_bytes) => {
                Err(format!("{} has other bytes than were committed", self.key.as_str()))
            }
            Some(_) => Ok(()),
        }
    }
}

async fn connect(masters: &[String], deadline: Duration) -> Client {
    let options = ClientOptions { deadline, ..ClientOptions::new(masters.to_vec(), "test") };
    Client::connect(options).await.unwrap_or_else(|error| panic!("{error}"))
}

async fn a_node_serves(client: &Client) -> bool {
    let status = client.status().await;
    status.is_ok_and(|status| status.nodes.iter().any(|node| node.state() == wire::NodeState::Active))
}

async fn write(client: &Client, key: &Key, bytes: &[u8]) -> Result<(), ClientError> {
    let mut writer = client.writer(key.clone(), Precondition::Absent, None);
    writer.write(bytes).await?;
    writer.commit(Attributes::default()).await.map(drop)
}

async fn read(client: &Client, key: &Key) -> Result<Option<Vec<u8>>, ClientError> {
    let Some(found) = client.look_up(key).await? else { return Ok(None) };
    let reader = client.reader(Arc::new(found));
    let mut rows = reader.verified_rows();
    let mut bytes = Vec::new();
    while let Some(row) = rows.next().await? {
        bytes.extend_from_slice(&row);
    }
    Ok(Some(bytes))
}
