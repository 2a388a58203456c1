//! Goal: a copy goes on when nodes that it writes to are lost, by holes where there may be some and by other nodes
//! where there may not (S47).

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use cairn_tests::disk_usage::allocated_bytes;
use cairn_tests::process::Process;
use cairn_tests::scale::Scale;
use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools, wait, workload};
use nix::sys::signal::Signal;

/// To stop a process, or until it is seen stopped.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Of a stripe of the default layout, every target has 16 MiB.
const STRIPE_BYTES: u64 = 64 << 20;

/// A `cp` into the mount, stopped when it has written so much.
fn copy_stopped_at(cluster: &DevCluster, file: &SourceFile, bytes: u64) -> Child {
    let target = cluster.mount_path().join(&file.name);
    let mut copy = Command::new("cp").arg(&file.path).arg(&target).spawn().expect("cp can be started");
    wait::until_true("the copy is under way", tools::BULK_DEADLINE, || {
        fs::metadata(&target).is_ok_and(|metadata| metadata.len() >= bytes)
    });
    let process = Process::new(copy.id());
    process.signal(Signal::SIGSTOP);
    process.wait_stopped(STOP_DEADLINE);
    assert!(copy.try_wait().unwrap().is_none(), "void: the copy was done before anything was killed");
    copy
}

fn finish(mut copy: Child) {
    Process::new(copy.id()).signal(Signal::SIGCONT);
    let status = wait::until("the copy ends", tools::BULK_DEADLINE, || copy.try_wait().unwrap());
    assert!(status.success(), "cp: {status}");
}

/// Kills so many of the nodes that hold the most.
fn kill_fullest(cluster: &DevCluster, count: usize) -> Vec<String> {
    let mut names = cluster.node_names();
    names.sort_by_cached_key(|name| std::cmp::Reverse(allocated_bytes(&cluster.data(name))));
    names.truncate(count);
    for name in &names {
        assert!(allocated_bytes(&cluster.data(name)) >= STRIPE_BYTES / 8, "void: {name} was not written to");
        cluster.kill(name);
    }
    names
}

/// States of the chunks of a blob, as `cairn stat` has them.
fn states(cluster: &DevCluster, key: &str) -> Vec<String> {
    let stat: serde_json::Value = cluster.run(&["stat", key, "--json"]).expect_success().json();
    let chunks = stat["chunks"].as_array().expect("chunks are listed");
    chunks.iter().map(|chunk| chunk["state"].as_str().expect("a chunk has a state").to_owned()).collect()
}

#[test]
fn a_copy_outlives_two_of_seven_nodes_killed_in_its_middle() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().nodes(7).mounted());
    let file = workload::random_file(&cluster.folder("source"), "file", Scale::from_environment().big_file_bytes, 1);
    let copy = copy_stopped_at(&cluster, &file, 3 * STRIPE_BYTES / 2);
    let killed = kill_fullest(&cluster, 2);
    finish(copy);

    tools::assert_read_back(cluster.mount("second").path(), [&file]);
    let found = states(&cluster, &file.name);
    assert_eq!((found.len(), count(&found, "missing"), count(&found, "ok")), (6, 1, 5), "{found:?}");
    cluster.revive(&killed.iter().map(String::as_str).collect::<Vec<_>>());
    wait::until_true("the hole is filled", tools::BULK_DEADLINE, || {
        states(&cluster, &file.name).iter().all(|state| state == "ok")
    });
    tools::assert_read_back(cluster.mount("third").path(), [&file]);
}

#[test]
fn a_layout_without_a_chunk_to_spare_for_a_hole_has_none_after_a_node_is_killed() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::small().nodes(4).mounted());
    let file = workload::random_file(&cluster.folder("source"), "file", 4 * STRIPE_BYTES, 1);
    let copy = copy_stopped_at(&cluster, &file, 3 * STRIPE_BYTES / 2);
    kill_fullest(&cluster, 1);
    finish(copy);
    tools::assert_read_back(cluster.mount("second").path(), [&file]);
    let found = states(&cluster, &file.name);
    assert_eq!((found.len(), count(&found, "ok")), (3, 3), "{found:?}");
}

fn count(states: &[String], wanted: &str) -> usize {
    states.iter().filter(|state| *state == wanted).count()
}
