//! Goal: whatever step of a repair, of the emptying of a node or of its removal a daemon crashes at, it is done in the end,
//! every blob reads right, and nothing is left over.

use std::fs;
use std::time::Duration;

use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::ids::NodeId;
use cairn_proto::records::{Attributes, Key};
use cairn_proto::wire::{NodeState, NodeStatus};
use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::workload::random_bytes;
use cairn_tests::{Machine, wait};
use tokio::runtime::{Builder, Runtime};

/// From an armed crash to the end of the process, and from an order to its end.
const PATIENCE: Duration = Duration::from_mins(2);
/// In which a client has an answer: masters come back within it.
const OPERATION_DEADLINE: Duration = Duration::from_secs(20);

/// Steps while a node is emptied: intent on record, target on record, made, known to be made, pointed at, and the
/// old chunk found and deleted.
const DRAIN_STEPS: [(&str, &str); 8] = [
    ("master-1", "node-intent-recorded"),
    ("master-1", "rebuilding-planned"),
    ("node-2", "chunk-sealed"),
    ("master-1", "chunk-rebuilt"),
    ("master-1", "chunk-repointed"),
    ("master-1", "garbage-found"),
    ("node-1", "chunks-deleted"),
    ("master-1", "garbage-deleted"),
];
/// Steps of a master while a chunk is rebuilt.
const REPAIR_STEPS: [&str; 3] = ["rebuilding-planned", "chunk-rebuilt", "chunk-repointed"];
/// Blobs of one step, two chunks each on three nodes: some lie on any two of them, but for one run in three thousand.
const BLOBS: usize = 20;
/// More than the masters keep.
const BLOB_BYTES: usize = 100_000;
const CHUNKS_PER_BLOB: u64 = 2;
const SEED: u64 = 7;

/// One master and three nodes in layout 1+1.
struct Subjects {
    cluster: BareCluster,
    runtime: Runtime,
    keys: Vec<Key>,
}

impl Subjects {
    fn start() -> Self {
        let mut cluster = BareCluster::of_masters(1, "1+1", Program::Cairn).with_short_memory();
        for name in ["node-1", "node-2", "node-3"] {
            cluster.add_node(name, Program::Cairn);
        }
        cluster.start_all();
        let runtime =
            Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made");
        Self { cluster, runtime, keys: Vec::new() }
    }

    /// Does something with a client of its own, which is closed afterwards.
    fn with_client<T>(&self, work: &impl AsyncFn(&Client) -> Result<T, ClientError>) -> Result<T, ClientError> {
        self.runtime.block_on(async {
            let options = ClientOptions {
                deadline: OPERATION_DEADLINE,
                kept_contents_bytes: 0,
                cache_bytes: 0,
                ..ClientOptions::new(self.cluster.addresses(), "crash points")
            };
            let client = Client::connect(options).await?;
            let done = work(&client).await;
            client.close().await;
            done
        })
    }

    fn nodes(&self) -> Option<Vec<NodeStatus>> {
        self.with_client(&async |client: &Client| client.nodes().await).ok()
    }

    /// The nodes of a name: two after it was wiped.
    fn named(&self, name: &str) -> Option<Vec<NodeStatus>> {
        let named = |status: &NodeStatus| status.node.as_ref().is_some_and(|node| node.name == name);
        Some(self.nodes()?.into_iter().filter(named).collect())
    }

    fn id(&self, name: &str) -> NodeId {
        let found = self.named(name).and_then(|nodes| nodes.into_iter().next()?.node);
        NodeId::from_wire(&found.unwrap_or_else(|| panic!("no {name}")).id).unwrap()
    }

    /// Blobs of a step, some of them on each node.
    fn put(&mut self, step: &str) {
        for number in 0..BLOBS {
            let key = Key::try_from(format!("{step} {} {number}", self.keys.len())).unwrap();
            wait::until_true("a file can be written", PATIENCE, || {
                self.with_client(&async |client: &Client| {
                    let mut writer = client.writer(key.clone(), Precondition::None, None);
                    writer.write(&random_bytes(SEED, BLOB_BYTES)).await?;
                    writer.commit(Attributes::default()).await.map(drop)
                })
                .is_ok()
            });
            self.keys.push(key);
        }
    }

    fn assert_all_read(&self) {
        let expected = random_bytes(SEED, BLOB_BYTES);
        let read = self.with_client(&async |client: &Client| {
            for key in &self.keys {
                let found = client.look_up(key).await?.expect("it was committed");
                let bytes = client.reader(std::sync::Arc::new(found)).read(0, BLOB_BYTES).await?;
                assert!(bytes == expected, "{key} has other bytes");
            }
            Ok(())
        });
        read.unwrap_or_else(|error| panic!("a blob cannot be read: {error}"));
    }

    fn prepare(&mut self, daemon: &str, step: &str) {
        self.cluster.kill(daemon);
        self.cluster.start_to_crash(daemon, step);
    }

    fn wait_crashed_and_restart(&mut self, daemon: &str, step: &str) {
        let cluster = &mut self.cluster;
        wait::until_true(&format!("{daemon} crashes at {step}"), PATIENCE, || cluster.process(daemon).is_none());
        cluster.start(daemon);
    }

    /// Has a node emptied until that makes the daemon crash. The order may be lost with a master that crashes over it, and is
    /// refused as long as no other node could take the chunks, as just after the daemon's start.
    fn drain_until_crashed(&mut self, id: NodeId, daemon: &str, step: &str) {
        let mut refused = None;
        let crashed = wait::within(PATIENCE, || {
            if self.cluster.process(daemon).is_none() {
                return Some(());
            }
            refused = self.intend(id, NodeState::Draining).err();
            None
        });
        assert!(crashed.is_some(), "{daemon} does not crash at {step}: {refused:?}; {:#?}", self.nodes());
        self.cluster.start(daemon);
    }

    fn intend(&self, id: NodeId, intent: NodeState) -> Result<(), ClientError> {
        self.with_client(&async |client: &Client| client.set_node_intent(id, intent, Duration::ZERO).await)
    }

    fn wait_intended(&self, id: NodeId, intent: NodeState) {
        wait::until_true("the node is to be something else", PATIENCE, || self.intend(id, intent).is_ok());
    }

    fn wait_drained(&self, name: &str) {
        wait::until_true(&format!("{name} is empty"), PATIENCE, || {
            let found = self.named(name).unwrap_or_default();
            found.first().is_some_and(|node| node.drained && node.stored_chunks == 0)
        });
    }

    /// Waits until each blob has its chunks and no node has any other.
    fn wait_whole_and_clear(&self) {
        let expected = CHUNKS_PER_BLOB * self.keys.len() as u64;
        wait::until_true("every blob has its chunks, and no more are there", PATIENCE, || {
            let nodes = self.nodes().unwrap_or_default();
            let alive =
                || nodes.iter().filter(|node| node.node.as_ref().is_some_and(|it| it.state() == NodeState::Active));
            let (named, stored): (u64, u64) =
                (alive().map(|node| node.chunks).sum(), alive().map(|node| node.stored_chunks).sum());
            (named, stored) == (expected, expected)
        });
    }
}

#[test]
fn a_drain_or_a_removal_that_crashes_at_any_step_comes_to_its_end() {
    let _machine = Machine::shared();
    let mut subjects = Subjects::start();
    subjects.put("first");
    let id = subjects.id("node-1");
    for (daemon, step) in DRAIN_STEPS {
        subjects.prepare(daemon, step);
        subjects.put(step);
        subjects.cluster.arm(daemon);
        subjects.drain_until_crashed(id, daemon, step);
        subjects.wait_intended(id, NodeState::Draining);
        subjects.wait_drained("node-1");
        subjects.wait_intended(id, NodeState::Active);
        subjects.assert_all_read();
    }
    subjects.wait_intended(id, NodeState::Draining);
    subjects.prepare("master-1", "node-removed");
    subjects.wait_drained("node-1");
    subjects.cluster.arm("master-1");
    let remove = || subjects.with_client(&async |client: &Client| client.remove_node(id, false).await);
    drop(remove());
    subjects.wait_crashed_and_restart("master-1", "node-removed");
    let remove = || subjects.with_client(&async |client: &Client| client.remove_node(id, false).await);
    wait::until_true("the node is removed", PATIENCE, || remove().is_ok());
    assert_eq!(subjects.nodes().unwrap().len(), 2);
    subjects.wait_whole_and_clear();
    subjects.assert_all_read();
}

#[test]
fn a_repair_that_crashes_at_any_step_is_done_once_more_and_leaves_nothing_over() {
    let _machine = Machine::shared();
    let mut subjects = Subjects::start();
    for (step, name) in REPAIR_STEPS.into_iter().zip(["node-1", "node-2", "node-3"]) {
        subjects.prepare("master-1", step);
        subjects.put(step);
        let old = subjects.id(name);
        subjects.cluster.arm("master-1");
        subjects.cluster.kill(name);
        fs::remove_dir_all(subjects.cluster.data(name)).unwrap();
        subjects.cluster.start(name);
        subjects.wait_crashed_and_restart("master-1", step);
        subjects.wait_whole_and_clear();
        let remove = || subjects.with_client(&async |client: &Client| client.remove_node(old, false).await);
        wait::until_true("its old id is removed", PATIENCE, || remove().is_ok());
        subjects.assert_all_read();
    }
}
