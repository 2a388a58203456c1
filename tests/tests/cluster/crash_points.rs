//! Goal: whatever step of writing, sealing, committing, replacing or deleting a daemon crashes at, the key has its old or
//! its new bytes, whole; an answer that was given stays true; and nothing is left over in the end.

use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};
use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::node_stats::node_stats;
use cairn_tests::planted_orphan::plant_orphan;
use cairn_tests::workload::random_bytes;
use cairn_tests::{Machine, wait};
use rand::RngExt;
use tokio::runtime::{Builder, Runtime};

/// From an armed crash to the end of the process, and from a start to the first answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// In which an operation that lost its daemon has an answer: nodes and masters come back within it.
const OPERATION_DEADLINE: Duration = Duration::from_secs(20);

/// Steps of a write at a master: planned, in its log, synced, applied, about to be answered.
const MASTER_WRITES: [&str; 5] =
    ["command-planned", "log-written", "log-synced", "command-applied", "request-carried-out"];
/// Steps of a write at a node.
const NODE_WRITES: [&str; 4] = ["cells-stored", "staging-finished", "staging-ingested", "chunk-sealed"];
/// Steps from a deletion to the end of the bytes: before and after the order, and at the node.
const DELETIONS: [(&str, &str); 3] =
    [("master-1", "garbage-found"), ("master-1", "garbage-deleted"), ("node-1", "chunks-deleted")];

/// Steps of the master that sweeps an orphan: found, and about to be deleted.
const SWEEPS: [&str; 2] = ["orphans-found", "orphans-condemned"];

/// Small ones go through a node's log, large ones through files of their own.
const SMALL: usize = 100_000;
const LARGE: usize = 20 << 20;

/// One master and two nodes in layout 1+1: a chunk that is lost fails the write.
struct Subjects {
    cluster: BareCluster,
    runtime: Runtime,
}

impl Subjects {
    fn start() -> Self {
        let mut cluster = BareCluster::of_masters(1, "1+1", Program::Cairn).with_short_memory();
        cluster.add_node("node-1", Program::Cairn);
        cluster.add_node("node-2", Program::Cairn);
        cluster.start_all();
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
        Self { cluster, runtime }
    }

    async fn client(masters: Vec<String>) -> Result<Client, ClientError> {
        let options = ClientOptions { deadline: OPERATION_DEADLINE, ..ClientOptions::new(masters, "crash points") };
        Client::connect(ClientOptions { kept_contents_bytes: 0, cache_bytes: 0, ..options }).await
    }

    /// Does something with a client of its own, which is closed afterwards.
    fn with_client<T>(&self, work: &impl AsyncFn(&Client) -> Result<T, ClientError>) -> Result<T, ClientError> {
        self.runtime.block_on(async {
            let client = Self::client(self.cluster.addresses()).await?;
            let done = work(&client).await;
            client.close().await;
            done
        })
    }

    fn put(&self, key: &Key, bytes: &[u8]) -> Result<(), ClientError> {
        self.with_client(&async |client: &Client| put(client, key, bytes).await)
    }

    fn delete(&self, key: &Key) -> Result<(), ClientError> {
        self.with_client(&async |client: &Client| client.delete(key, Precondition::None).await)
    }

    /// The bytes under a key, read from nodes alone.
    fn read(&self, key: &Key) -> Option<Vec<u8>> {
        let read = self.with_client(&async |client: &Client| {
            let Some(found) = client.look_up(key).await? else { return Ok(None) };
            let length = usize::try_from(found.entry().size_bytes).expect("it fits in memory");
            let bytes = client.reader(std::sync::Arc::new(found)).read(0, length).await?;
            Ok(Some(bytes.to_vec()))
        });
        read.unwrap_or_else(|error| panic!("{key} cannot be read: {error}"))
    }

    /// Puts, as soon as enough daemons serve.
    fn put_when_ready(&self, key: &Key, bytes: &[u8]) {
        wait::until_true("a file can be written", PATIENCE, || self.put(key, bytes).is_ok());
    }

    /// Restarts a daemon to crash at `point`.
    fn prepare(&mut self, daemon: &str, point: &str) {
        self.cluster.kill(daemon);
        self.cluster.start_to_crash(daemon, point);
    }

    /// Puts from a thread of its own.
    fn put_in_background(&self, key: &Key, bytes: Vec<u8>) -> Receiver<Result<(), ClientError>> {
        let (masters, key, handle) = (self.cluster.addresses(), key.clone(), self.runtime.handle().clone());
        let (sender, answer) = channel();
        thread::spawn(move || {
            let outcome = handle.block_on(async {
                let client = Self::client(masters).await?;
                let outcome = put(&client, &key, &bytes).await;
                client.close().await;
                outcome
            });
            // The test may have failed meanwhile.
            let _ = sender.send(outcome);
        });
        answer
    }

    fn wait_crashed_and_restart(&mut self, daemon: &str, point: &str) {
        let cluster = &mut self.cluster;
        wait::until_true(&format!("{daemon} crashes at {point}"), PATIENCE, || cluster.process(daemon).is_none());
        cluster.start(daemon);
    }

    /// Crashes a daemon while a key is replaced.
    fn crash_a_replacement(&mut self, daemon: &str, point: &str, size_bytes: usize) {
        let key = Key::try_from(format!("{point} {size_bytes}")).unwrap();
        let version = |number: u64| random_bytes(number, size_bytes);
        self.prepare(daemon, point);
        self.put_when_ready(&key, &version(1));
        self.cluster.arm(daemon);
        let answer = self.put_in_background(&key, version(2));
        self.wait_crashed_and_restart(daemon, point);
        let outcome = answer.recv_timeout(2 * OPERATION_DEADLINE).expect("the put ends");
        let found = self.read(&key).expect("the key is there");
        let is_new = found == version(2);
        assert!(is_new || found == version(1), "{daemon} at {point}: neither the old nor the new bytes");
        match outcome {
            Ok(()) => assert!(is_new, "{daemon} at {point}: the put succeeded and the old bytes are there"),
            Err(ClientError::OutcomeUnknown { .. }) => {}
            Err(error) => assert!(!is_new, "{daemon} at {point}: the put failed ({error}) and the new bytes are there"),
        }
        self.put_when_ready(&key, &version(3));
        assert!(self.read(&key) == Some(version(3)), "{daemon} at {point}: it cannot be replaced afterwards");
        self.delete(&key).unwrap();
    }

    /// Crashes a daemon while the bytes of a deleted key are dropped.
    fn crash_a_deletion(&mut self, daemon: &str, point: &str) {
        let key = Key::try_from(point).unwrap();
        self.prepare(daemon, point);
        self.put_when_ready(&key, &random_bytes(1, LARGE));
        self.cluster.arm(daemon);
        self.delete(&key).unwrap();
        self.wait_crashed_and_restart(daemon, point);
        wait::until_true("the masters answer again", PATIENCE, || {
            self.with_client(&async |client: &Client| client.entry(&key).await).is_ok_and(|entry| entry.is_none())
        });
    }

    /// Crashes the master while it sweeps a chunk that nothing names.
    fn crash_a_sweep(&mut self, point: &str) {
        self.prepare("master-1", point);
        self.cluster.arm("master-1");
        wait::until_true("the master crashes in a sweep", PATIENCE, || {
            // What is planted may be swept before: whoever fails here has met the crash, or comes again.
            let _ = self.with_client(&async |client: &Client| {
                plant_orphan(client, "node-1", &random_bytes(1, 4096)).await;
                let mut inspection = client.inspect().await?;
                while inspection.next().await?.is_some() {}
                Ok(())
            });
            self.cluster.process("master-1").is_none()
        });
        self.cluster.start("master-1");
    }

    /// Waits until no node has a chunk any more, sealed or not.
    fn assert_nothing_is_left(&self) {
        let held = || self.with_client(&async |client: &Client| Ok(chunks_on_nodes(client).await));
        wait::until_true("the chunks of all keys are gone", PATIENCE, || held().is_ok_and(|held| held == Some(0)));
    }
}

/// Chunks that nodes have, sealed or not; `None` while one does not answer.
async fn chunks_on_nodes(client: &Client) -> Option<u64> {
    let stats = node_stats(client).await?;
    Some(stats.values().map(|stats| stats.sealed_chunks + stats.open_segments).sum())
}

async fn put(client: &Client, key: &Key, bytes: &[u8]) -> Result<(), ClientError> {
    let mut writer = client.writer(key.clone(), Precondition::None, None);
    writer.write(bytes).await?;
    writer.commit(Attributes::default()).await.map(drop)
}

#[test]
fn a_crash_at_any_step_leaves_the_old_bytes_or_the_new_ones_and_no_others() {
    let _machine = Machine::alone();
    let mut subjects = Subjects::start();
    for point in MASTER_WRITES {
        let size_bytes = if rand::rng().random_bool(0.5) { SMALL } else { LARGE };
        subjects.crash_a_replacement("master-1", point, size_bytes);
    }
    for point in NODE_WRITES {
        subjects.crash_a_replacement("node-1", point, LARGE);
    }
    // The cells of a small file come with the seal.
    subjects.crash_a_replacement("node-2", "chunk-sealed", SMALL);
    for (daemon, point) in DELETIONS {
        subjects.crash_a_deletion(daemon, point);
    }
    for point in SWEEPS {
        subjects.crash_a_sweep(point);
    }
    subjects.assert_nothing_is_left();
}
