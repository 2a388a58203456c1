//! Goal: a node can be emptied, sent away for a while and removed without anybody who reads or writes noticing.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use cairn_tests::status::ListedNode;
use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, Machine, tools, wait, workload};

/// From an order to its end, on a machine that has other work too.
const DEADLINE: Duration = Duration::from_mins(5);
/// Above what the masters keep.
const FILE_BYTES: u64 = 300_000;
/// Programs that write at a time.
const WRITERS: [u64; 3] = [0, 1, 2];

fn listed(cluster: &DevCluster) -> Vec<ListedNode> {
    cluster.run(&["node", "list", "--json"]).expect_success().json()
}

fn node(cluster: &DevCluster, name: &str) -> ListedNode {
    listed(cluster).into_iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name}"))
}

fn heal_status(cluster: &DevCluster) -> serde_json::Value {
    cluster.run(&["heal", "status", "--json"]).expect_success().json()
}

fn put(cluster: &DevCluster, number: u64) -> SourceFile {
    let file = workload::random_file(&cluster.folder("source"), &format!("file-{number}"), FILE_BYTES + number, number);
    cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    file
}

/// Seven nodes for the six chunks of each blob, with files on them.
fn cluster_with_files(count: u64) -> (DevCluster, Vec<SourceFile>) {
    let cluster = DevCluster::start(ClusterOptions::default().nodes(7));
    let files = (0..count).map(|number| put(&cluster, number)).collect();
    (cluster, files)
}

/// Writes files one after the other until told to stop.
fn write_on(cluster: &DevCluster, writer: u64, stop: &AtomicBool) -> Vec<SourceFile> {
    let numbers = (0..).take_while(|_| !stop.load(Ordering::Relaxed));
    numbers.map(|number| put(cluster, 1000 * (writer + 1) + number)).collect()
}

fn wait_drained(cluster: &DevCluster, name: &str) {
    wait::until_true(&format!("{name} is empty"), DEADLINE, || {
        let node = node(cluster, name);
        node.state == "drained" && (node.chunks, node.stored_chunks, node.open_writes) == (0, 0, 0)
    });
}

#[test]
fn a_node_is_drained_under_writes_and_removed() {
    let _machine = Machine::shared();
    let (cluster, mut files) = cluster_with_files(24);
    assert!(node(&cluster, "node-3").chunks > 0);
    let planned: serde_json::Value = cluster.run(&["node", "drain", "node-3", "--json"]).expect_success().json();
    assert_eq!((&planned["started"], &planned["hindrance"]), (&false.into(), &serde_json::Value::Null), "{planned}");
    assert_eq!(node(&cluster, "node-3").intended, "active", "it was tried out only");
    let refused = cluster.run(&["node", "remove", "node-3", "--yes"]).expect_code(5);
    assert!(refused.stderr.contains("cairn node drain node-3"), "the next step is not named: {refused}");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let cluster = &cluster;
        let stop = &stop;
        let writers = WRITERS.map(|writer| scope.spawn(move || write_on(cluster, writer, stop)));
        // The writers end whatever comes of it.
        let drained = std::panic::catch_unwind(|| {
            cluster.run(&["node", "drain", "node-3", "--yes"]).expect_success();
            wait_drained(cluster, "node-3");
        });
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            files.extend(writer.join().expect("no write failed"));
        }
        drained.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    wait_drained(&cluster, "node-3");
    let refused = cluster.run(&["node", "drain", "node-4", "--yes"]).expect_code(5);
    assert!(refused.stderr.contains("add a node"), "the next step is not named: {refused}");
    cluster.run(&["node", "remove", "node-3", "--yes"]).expect_success();
    assert_eq!(listed(&cluster).len(), 6);
    assert!(cluster.status().nodes.iter().all(|node| node.name != "node-3"));
    let unknown = cluster.run(&["node", "undrain", "node-3"]).expect_code(3);
    assert!(unknown.stderr.contains("node-4"), "those there are are not named: {unknown}");
    // Any two of those that are left may go now, and nothing is read from the one that was removed.
    for name in ["node-1", "node-3", "node-6"] {
        cluster.kill(name);
    }
    for file in &files {
        tools::assert_got(&cluster, file);
    }
}

#[test]
fn the_old_id_of_a_node_that_was_wiped_is_removed_by_that_id() {
    let _machine = Machine::shared();
    let (cluster, files) = cluster_with_files(6);
    let old = node(&cluster, "node-2").id;
    cluster.kill("node-2");
    fs::remove_dir_all(cluster.data("node-2")).unwrap();
    cluster.dev_start("node-2").expect_success();
    let refused = cluster.run(&["node", "remove", "node-2", "--yes"]).expect_code(2);
    assert!(refused.stderr.contains(&old), "the ids are not named: {refused}");
    wait::until_true("what it had is rebuilt", DEADLINE, || {
        let old = listed(&cluster).into_iter().find(|node| node.id == old).unwrap();
        old.state == "dead" && old.chunks == 0
    });
    cluster.run(&["node", "remove", &old, "--yes"]).expect_success();
    let left = listed(&cluster);
    assert!(left.len() == 7 && left.iter().all(|node| node.id != old && node.state == "active"), "{left:?}");
    for file in &files {
        tools::assert_got(&cluster, file);
    }
}

#[test]
fn a_node_is_not_rebuilt_during_its_maintenance_and_is_afterwards() {
    let _machine = Machine::shared();
    let (cluster, files) = cluster_with_files(6);
    cluster.run(&["node", "maintenance", "node-5", "--for", "20s"]).expect_success();
    assert_eq!(node(&cluster, "node-5").intended, "maintenance");
    let made = |cluster: &DevCluster| {
        let heal = heal_status(cluster);
        heal["rebuilt_chunks"].as_u64().unwrap() + heal["items"].as_array().unwrap().len() as u64
    };
    cluster.kill("node-5");
    cluster.wait_nodes(DEADLINE, "dead", &["node-5"]);
    wait::until_true("the maintenance is over", DEADLINE, || {
        let made = made(&cluster);
        let is_over = node(&cluster, "node-5").intended == "active";
        assert!(is_over || made == 0, "it is rebuilt although it may come back");
        is_over
    });
    wait::until_true("what it had is rebuilt", DEADLINE, || node(&cluster, "node-5").chunks == 0);
    for file in &files {
        tools::assert_got(&cluster, file);
    }
}
