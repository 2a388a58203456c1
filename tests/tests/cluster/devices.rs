//! Goal: a node with several disks outlives the loss of one, and no disk that is merely away is taken for an empty one.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, ForegroundDaemon, Machine, tools, wait, workload};
use serde::Deserialize;

/// From the loss of a disk until all is whole again, on a machine that has other work too.
const HEAL_DEADLINE: Duration = Duration::from_mins(5);
/// A node that was started serves.
const START_DEADLINE: Duration = Duration::from_mins(1);
/// Files above what the masters keep, and one that gets tables.
const SMALL_FILES: u64 = 30;
const SMALL_FILE_BYTES: u64 = 300_000;
const BIG_FILE_BYTES: u64 = 80 << 20;

#[derive(Debug, Deserialize)]
struct Status {
    redundancy: BTreeMap<String, u64>,
    pending_repairs: u64,
}

#[derive(Debug, Deserialize)]
struct NodeDevices {
    name: String,
    chunks: u64,
    devices: Vec<DeviceUse>,
}

#[derive(Debug, Deserialize)]
struct DeviceUse {
    name: String,
    used_bytes: u64,
    limit_bytes: u64,
}

fn node_devices(cluster: &DevCluster, name: &str) -> NodeDevices {
    let listed: Vec<NodeDevices> = cluster.run(&["node", "list", "--json"]).expect_success().json();
    listed.into_iter().find(|node| node.name == name).unwrap()
}

fn put_files(cluster: &DevCluster) -> Vec<SourceFile> {
    let source = cluster.folder("source");
    let sizes = (0..SMALL_FILES).map(|number| SMALL_FILE_BYTES + number).chain([BIG_FILE_BYTES]);
    let file = |(number, bytes)| workload::random_file(&source, &format!("file-{number}"), bytes, number);
    let files: Vec<SourceFile> = (0..).zip(sizes).map(file).collect();
    for file in &files {
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    }
    files
}

/// Waits until every blob can lose a chunk again, and nothing is to be done any more.
fn wait_healed(cluster: &DevCluster, blobs: usize) {
    wait::until_true("every blob is whole again", HEAL_DEADLINE, || {
        let status: Status = cluster.run(&["status", "--json"]).expect_success().json();
        status.redundancy.get("1") == Some(&(blobs as u64)) && status.pending_repairs == 0
    });
}

#[test]
fn a_node_goes_on_without_a_lost_disk_and_takes_a_new_one_in_its_place() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().devices(2));
    let files = put_files(&cluster);
    let before = node_devices(&cluster, "node-2");
    assert_eq!(before.devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["device-1", "device-2"]);
    for device in &before.devices {
        assert!(device.used_bytes > SMALL_FILE_BYTES && device.limit_bytes > device.used_bytes, "{before:?}");
    }

    cluster.kill("node-2");
    fs::remove_dir_all(cluster.data("node-2").join("device-2")).unwrap();
    let refused = cluster.dev_start("node-2").expect_failure();
    assert!(refused.stderr.contains("node-2"), "{refused}");
    let said = cluster.log("node-2");
    assert!(said.contains("device device-2 is missing") && said.contains("--without-device device-2"), "{said}");

    let config = cluster.dir().join("config/node-2.toml");
    let arguments = ["node", "--config", config.to_str().unwrap(), "--without-device", "device-2"];
    let without = ForegroundDaemon::start(&arguments, &cluster.folder("without").join("node-2.log"));
    cluster.wait_nodes(START_DEADLINE, "active", &["node-2"]);
    for file in &files {
        tools::assert_got(&cluster, file);
    }
    wait_healed(&cluster, files.len());
    cluster.wait_clean(HEAL_DEADLINE);
    let healed = node_devices(&cluster, "node-2");
    assert_eq!((healed.devices.len(), healed.chunks), (1, before.chunks), "{healed:?}");

    drop(without);
    cluster.dev_start("node-2").expect_success();
    let renewed = node_devices(&cluster, "node-2");
    assert_eq!((renewed.devices.len(), renewed.chunks), (2, before.chunks), "{renewed:?}");
    // The empty disk takes what is written from now on.
    let more = workload::random_file(&cluster.folder("source"), "more", BIG_FILE_BYTES, 99);
    cluster.run(&["put", more.path.to_str().unwrap()]).expect_success();
    wait::until_true("the empty disk is filled", START_DEADLINE, || {
        node_devices(&cluster, "node-2").devices[1].used_bytes > BIG_FILE_BYTES / 4
    });
    for file in files.iter().chain([&more]) {
        tools::assert_got(&cluster, file);
    }
    cluster.wait_clean(HEAL_DEADLINE);
}
