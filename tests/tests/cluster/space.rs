//! Goal: small files fill equal nodes evenly, and what nodes say that they use is what their chunks and the disk say, also
//! soon after most of it was deleted.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};
use cairn_tests::disk_usage::allocated_bytes;
use cairn_tests::node_stats::node_stats;
use cairn_tests::scale::Scale;
use cairn_tests::status::KeyStatus;
use cairn_tests::workload::random_bytes;
use cairn_tests::{ClusterOptions, DevCluster, Machine, wait, workload};
use futures_util::{StreamExt, stream};
use tokio::runtime::{Builder, Runtime};

const SMALL_BYTES: usize = 4096;
const WRITES_AT_ONCE: usize = 16;
/// One part in so many that a node may differ from the mean, and its figures from one another.
const PART: u64 = 10;
/// What a node without a chunk takes on the disk at most.
const EMPTY_NODE_BYTES: u64 = 16 << 20;
/// From a deletion until the space is back: the grace of a dev cluster, and a minute.
const SPACE_DEADLINE: Duration = Duration::from_secs(10 + 60);
const FILE_BYTES: u64 = 48 << 20;

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime can be made")
}

async fn connect(cluster: &DevCluster) -> Client {
    let options = ClientOptions::new(cluster.addresses(), "space");
    Client::connect(ClientOptions { kept_contents_bytes: 0, ..options }).await.expect("the cluster answers")
}

async fn put(client: &Client, number: u64) -> Result<(), ClientError> {
    let key = Key::try_from(format!("small {number}")).expect("a key");
    let mut writer = client.writer(key, Precondition::None, None);
    writer.write(&random_bytes(number, SMALL_BYTES)).await?;
    writer.commit(Attributes::default()).await.map(drop)
}

#[test]
fn small_files_fill_equal_nodes_evenly() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default().masters(1));
    let files = Scale::from_environment().small_files;
    let chunks: BTreeMap<String, u64> = runtime().block_on(async {
        let client = connect(&cluster).await;
        let writes = stream::iter(0..files).map(|number| put(&client, number)).buffer_unordered(WRITES_AT_ONCE);
        let failed = writes.filter(|outcome| std::future::ready(outcome.is_err())).count().await;
        assert_eq!(failed, 0);
        let stats = node_stats(&client).await.expect("every node answers");
        client.close().await;
        stats.into_iter().map(|(name, stats)| (name, stats.sealed_chunks)).collect()
    });
    // One cell of data and two of code each.
    let mean = files * 3 / 6;
    assert_eq!(chunks.values().sum::<u64>(), files * 3);
    assert!(chunks.values().all(|count| count.abs_diff(mean) <= mean / PART), "{chunks:?}");
}

/// Bytes of the chunks that records place at each node.
fn recorded_bytes(cluster: &DevCluster, keys: &[String]) -> BTreeMap<String, u64> {
    let mut bytes = BTreeMap::new();
    for key in keys {
        let status: serde_json::Value = cluster.run(&["stat", key, "--json"]).expect_success().json();
        assert!(serde_json::from_value::<KeyStatus>(status.clone()).is_ok());
        for chunk in status["chunks"].as_array().expect("a list") {
            let node = chunk["node"].as_str().expect("a name").to_owned();
            *bytes.entry(node).or_default() += chunk["size"].as_u64().expect("a size");
        }
    }
    bytes
}

#[test]
fn used_bytes_follow_the_chunks_and_the_disk_after_deletions() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default());
    let source = cluster.folder("source");
    let mut names = Vec::new();
    for number in 0..12 {
        let file = workload::random_file(&source, &format!("file-{number}"), FILE_BYTES, number);
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
        std::fs::remove_file(&file.path).unwrap();
        names.push(file.name);
    }
    let kept = names.split_off(6);
    for name in &names {
        cluster.run(&["rm", name]).expect_success();
    }
    let recorded = recorded_bytes(&cluster, &kept);
    let mut last = Vec::new();
    let agree = wait::within(SPACE_DEADLINE, || {
        let status = cluster.status();
        last.clear();
        let mut agree = true;
        for node in &status.nodes {
            let (live, used, disk) =
                (recorded[&node.name], node.used_bytes, allocated_bytes(&cluster.data(&node.name)));
            last.push(format!("{}: {live} live, {used} used, {disk} on disk", node.name));
            agree &= used.abs_diff(live) <= live / PART && disk <= used + used / PART + EMPTY_NODE_BYTES;
        }
        agree.then_some(())
    });
    assert!(agree.is_some(), "{last:#?}");
    cluster.wait_clean(SPACE_DEADLINE);
}
