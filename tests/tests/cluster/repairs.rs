//! Goal: what a lost disk or a dead node took is rebuilt without anybody asking, and everything reads right throughout.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cairn_tests::disk_usage::allocated_bytes;
use cairn_tests::scale::Scale;
use cairn_tests::status::ListedNode;
use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, Machine, tools, wait, workload};
use serde::Deserialize;

/// From a loss until all is whole again, on a machine that has other work too.
const HEAL_DEADLINE: Duration = Duration::from_mins(5);
/// Small files; above what the masters keep.
const SMALL_FILES: u64 = 24;
const SMALL_FILE_BYTES: u64 = 300_000;
/// Part of all bytes that middle-sized files take.
const MIDDLE_PART: u64 = 8;
const MIDDLE_FILE_BYTES: u64 = 16 << 20;
const BIG_FILE_BYTES: u64 = 1 << 30;
/// What a node without a chunk takes on the disk at most.
const EMPTY_NODE_BYTES: u64 = 16 << 20;

#[derive(Debug, Deserialize)]
struct HealStatus {
    pending: u64,
    rebuilt_chunks: u64,
    items: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Status {
    redundancy: BTreeMap<String, u64>,
    pending_repairs: u64,
}

/// Seven nodes for the six chunks of each blob, with files on them.
fn cluster_with_files() -> (DevCluster, Vec<SourceFile>) {
    let cluster = DevCluster::start(ClusterOptions::default().nodes(7));
    let source = cluster.folder("source");
    let sizes = mixed_sizes(Scale::from_environment().repaired_bytes);
    let files: Vec<SourceFile> = (0..)
        .zip(sizes)
        .map(|(number, bytes)| workload::random_file(&source, &format!("file-{number}"), bytes, number))
        .collect();
    for file in &files {
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    }
    (cluster, files)
}

/// Small, middle-sized and big files, no two of one size, of at least so many bytes together.
fn mixed_sizes(bytes: u64) -> Vec<u64> {
    let middle = bytes / MIDDLE_PART / MIDDLE_FILE_BYTES;
    let mut sizes: Vec<u64> = (0..SMALL_FILES).map(|number| SMALL_FILE_BYTES + number).collect();
    sizes.extend((0..middle).map(|number| MIDDLE_FILE_BYTES + number));
    let mut rest = bytes - middle * MIDDLE_FILE_BYTES;
    while rest > 0 {
        let size = rest.min(BIG_FILE_BYTES);
        sizes.push(size);
        rest -= size;
    }
    sizes
}

fn heal_status(cluster: &DevCluster) -> HealStatus {
    cluster.run(&["heal", "status", "--json"]).expect_success().json()
}

/// Does what costs a node its chunks, and waits until something is rebuilt for it.
fn lose_node(cluster: &DevCluster, lose: impl FnOnce()) {
    let before = heal_status(cluster).rebuilt_chunks;
    lose();
    wait::until_true("the repair has begun", HEAL_DEADLINE, || heal_status(cluster).rebuilt_chunks > before);
}

/// Waits until every blob can lose two chunks again, and nothing is to be done any more.
fn wait_healed(cluster: &DevCluster, blobs: usize) {
    let is_whole = || {
        let status: Status = cluster.run(&["status", "--json"]).expect_success().json();
        let heal = heal_status(cluster);
        let whole =
            status.redundancy.iter().all(|(spare, count)| *count == if spare == "2" { blobs as u64 } else { 0 });
        whole && status.pending_repairs == 0 && heal.pending == 0 && heal.items.is_empty()
    };
    wait::until_true("every blob is whole again", HEAL_DEADLINE, is_whole);
}

/// Removes the nodes that will not come back: what is to be deleted waits for them until then.
fn remove_dead(cluster: &DevCluster) {
    let listed: Vec<ListedNode> = cluster.run(&["node", "list", "--json"]).expect_success().json();
    for node in listed.iter().filter(|node| node.state == "dead") {
        cluster.run(&["node", "remove", &node.id, "--yes"]).expect_success();
    }
}

/// Bytes of the chunks that records name on a node.
fn named_bytes(cluster: &DevCluster, name: &str) -> u64 {
    let listed: Vec<ListedNode> = cluster.run(&["node", "list", "--json"]).expect_success().json();
    listed.iter().find(|node| node.name == name).expect("it is listed").chunk_bytes
}

#[test]
fn nodes_whose_data_is_deleted_are_filled_again_one_after_the_other() {
    let _machine = Machine::shared();
    let (cluster, files) = cluster_with_files();
    let stored = cluster.stored_bytes();
    for name in ["node-2", "node-5", "node-7"] {
        lose_node(&cluster, || {
            cluster.kill(name);
            fs::remove_dir_all(cluster.data(name)).unwrap();
            cluster.dev_start(name).expect_success();
            for file in &files {
                tools::assert_got(&cluster, file);
            }
        });
        wait_healed(&cluster, files.len());
    }
    let heal = heal_status(&cluster);
    assert!(heal.rebuilt_chunks >= SMALL_FILES, "{heal:?}");
    for file in &files {
        tools::assert_got(&cluster, file);
    }
    remove_dead(&cluster);
    cluster.wait_clean(HEAL_DEADLINE);
    let now = cluster.stored_bytes();
    assert!(now <= stored + stored / 10 + EMPTY_NODE_BYTES, "{now} bytes are stored, and were {stored}");
}

#[test]
fn the_chunks_of_a_dead_node_move_to_the_others_and_are_cleared_when_it_returns() {
    let _machine = Machine::shared();
    let (cluster, files) = cluster_with_files();
    lose_node(&cluster, || cluster.kill("node-3"));
    wait_healed(&cluster, files.len());
    // Any two of those that are left may go now.
    for name in ["node-1", "node-6"] {
        cluster.kill(name);
    }
    for file in &files {
        tools::assert_got(&cluster, file);
    }
    cluster.revive(&["node-1", "node-6", "node-3"]);
    wait::until_true("the old chunks are cleared", HEAL_DEADLINE, || {
        // The emptiest node: others may move to it at once.
        allocated_bytes(&cluster.data("node-3")) <= named_bytes(&cluster, "node-3") + EMPTY_NODE_BYTES
    });
    wait_healed(&cluster, files.len());
    cluster.wait_clean(HEAL_DEADLINE);
    for file in &files {
        tools::assert_got(&cluster, file);
    }
}
