//! Goal: `cairn fsck` says of a cluster what is true, whatever is written meanwhile: nothing where all is well, and where
//! something is missing or left over, what and where. What is left over goes by itself.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cairn_tests::churn::Churn;
use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, Finished, Machine, tools, wait, workload};

use crate::damaged_data::{find_cell, flip_bit};

/// Writers of the load, and their blobs: through the log of a node, and small enough to be many.
const WRITERS: u64 = 4;
const LOAD_BYTES: usize = 200_000;
/// Blobs of the load between two looks.
const BETWEEN_LOOKS: u64 = 40;
/// In which orphans are swept and garbage is deleted: more than the grace of a dev cluster.
const CLEAN_DEADLINE: Duration = Duration::from_mins(2);
/// So much goes to sorted tables of their own on each node, from the row at this place on.
const TABLE_FILE_BYTES: u64 = 64 << 20;
const TABLE_ROW_START: usize = 40 << 20;
const COPY_DEADLINE: Duration = Duration::from_mins(1);

fn put_files(cluster: &DevCluster, prefix: &str, count: u64) -> Vec<SourceFile> {
    let source = cluster.folder("source");
    let file = |number| workload::random_file(&source, &format!("{prefix}-{number}"), 300_000 + number, number);
    let files: Vec<SourceFile> = (0..count).map(file).collect();
    for file in &files {
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    }
    files
}

fn copy_folder(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    Finished::of(command.arg("-a").arg(from).arg(to), COPY_DEADLINE).expect_success();
}

#[test]
fn a_cluster_that_is_written_to_agrees_with_itself_and_one_without_a_node_says_which() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default());
    let files = put_files(&cluster, "file", 6);
    let load = Churn::start(cluster.addresses(), WRITERS, LOAD_BYTES);
    for _ in 0..5 {
        load.wait_written(BETWEEN_LOOKS);
        let report = cluster.fsck(&[]);
        assert!(report.ok, "all is well, and it says {report:#?}");
        assert!(report.chunks > 0);
    }
    cluster.kill("node-2");
    cluster.wait_nodes(CLEAN_DEADLINE, "dead", &["node-2"]);
    // Not of this test: holes that the writers leave while the node is not known to be dead, and their repair.
    load.wait_written(BETWEEN_LOOKS);
    let report = cluster.fsck(&[]);
    assert_eq!(report.kinds().get("unreachable"), Some(&1), "{report:#?}");
    let false_kinds = ["missing", "different", "orphan", "lost", "uses", "blob-without-key", "key-without-blob"];
    assert!(false_kinds.iter().all(|kind| !report.kinds().contains_key(kind)), "{report:#?}");
    cluster.revive(&["node-2"]);
    load.stop();
    cluster.wait_clean(CLEAN_DEADLINE);
    for file in &files {
        tools::assert_got(&cluster, file);
    }
    let deep = cluster.fsck(&["--deep"]);
    assert!(deep.ok && deep.read_blobs >= files.len() as u64, "{deep:#?}");
}

#[test]
fn a_node_brought_back_from_an_older_copy_is_given_what_came_since_and_loses_what_was_deleted() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default());
    let kept = put_files(&cluster, "kept", 4);
    let deleted = put_files(&cluster, "deleted", 4);
    // Both files of the same data: nothing runs there meanwhile.
    cluster.dev_kill("node-3").expect_success();
    let copy = cluster.folder("copy").join("node-3");
    copy_folder(&cluster.data("node-3"), &copy);
    cluster.revive(&["node-3"]);
    let later = put_files(&cluster, "later", 4);
    for file in &deleted {
        cluster.run(&["rm", &file.name]).expect_success();
    }
    cluster.wait_clean(CLEAN_DEADLINE);
    cluster.dev_kill("node-3").expect_success();
    std::fs::remove_dir_all(cluster.data("node-3")).unwrap();
    copy_folder(&copy, &cluster.data("node-3"));
    cluster.revive(&["node-3"]);
    wait::until_true("what came since is made again, and what was deleted is swept", CLEAN_DEADLINE, || {
        let report = cluster.fsck(&[]);
        assert!(report.problems.iter().all(|problem| problem.node.as_deref() == Some("node-3")), "{report:#?}");
        report.ok && report.garbage_chunks == 0
    });
    let heal: serde_json::Value = cluster.run(&["heal", "status", "--json"]).expect_success().json();
    assert!(heal["rebuilt_chunks"].as_u64() >= Some(later.len() as u64), "{heal}");
    // What was made is what is read when as many others are away as may be.
    for name in ["node-1", "node-5"] {
        cluster.kill(name);
    }
    for file in kept.iter().chain(&later) {
        tools::assert_got(&cluster, file);
    }
}

#[test]
fn a_flipped_bit_that_no_reader_notices_is_named_by_a_deep_look() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&cluster.folder("source"), "file", TABLE_FILE_BYTES, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let small = workload::random_file(&cluster.folder("source"), "small", 100_000, 2);
    cluster.run(&["put", small.path.to_str().unwrap(), "small"]).expect_success();
    assert!(cluster.fsck(&["--deep"]).ok);
    let signature = std::fs::read(&file.path).unwrap()[TABLE_ROW_START..TABLE_ROW_START + 64].to_vec();
    let (node, table, offset) = find_cell(&cluster, &signature);
    // Down, so that no cache of the node still has the right bytes.
    cluster.dev_kill(&node).expect_success();
    flip_bit(&table, offset + 1000);
    cluster.revive(&[&node]);
    assert!(cluster.fsck(&[]).ok, "the node's records say nothing of its cells");
    let report = cluster.fsck(&["--deep"]);
    let damaged = report.problems.iter().find(|problem| problem.kind == "damaged").expect("the chunk is named");
    assert_eq!((damaged.key.as_deref(), damaged.node.as_deref()), (Some("file"), Some(node.as_str())), "{report:#?}");
    assert_eq!(report.read_blobs, 2, "both can be read: {report:#?}");
    tools::assert_got(&cluster, &file);
}
