//! Goal: what was acknowledged is there after every daemon was killed, and `cairn dev` keeps its data.

use std::fs;

use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Machine, fuse, tools, wait, workload};

#[test]
fn after_killing_everything_at_once_all_files_read_right() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let scale = cairn_tests::scale::Scale::from_environment();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let (big, tree) = tools::copy_big_file_and_tree(&cluster, scale);

    cluster.kill_everything();
    cluster.start_again();
    tools::assert_read_back(&cluster.mount_path(), tree.iter().chain([&big]));
    tools::assert_read_back(cluster.mount("second").path(), tree.iter().take(20));
}

/// Times that everything is killed in the middle of a copy.
const KILLS: u64 = 4;
/// So large that nodes write tables for it.
const COPIED_BYTES: u64 = 64 << 20;

#[test]
fn daemons_killed_in_mid_copy_again_and_again_start_every_time() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let kept = workload::random_file(&cluster.folder("source"), "kept", COPIED_BYTES, 1);
    cluster.run(&["put", kept.path.to_str().unwrap(), "kept"]).expect_success();
    let copied = workload::random_file(&cluster.folder("source"), "copied", COPIED_BYTES, 2);
    let path = copied.path.to_str().unwrap();
    let staging = cluster.data("node-1").join("staging");
    for kill in 0..KILLS {
        std::thread::scope(|scope| {
            let copying = scope.spawn(|| cluster.run(&["put", path, "copied"]));
            wait::until_true("a table is being written", COMMAND_DEADLINE, || {
                copying.is_finished() || fs::read_dir(&staging).unwrap().next().is_some()
            });
            assert!(!copying.is_finished(), "kill {kill} came too late");
            cluster.kill_everything();
            cluster.start_again();
        });
        tools::assert_got(&cluster, &kept);
    }
}

#[test]
fn a_cluster_stopped_and_started_on_the_same_folder_has_its_keys() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&cluster.folder("source"), "file", 3_000_000, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let identity = cluster.status().cluster;

    cluster.dev_stop().expect_success();
    let daemons = cluster.daemons();
    assert!(daemons.iter().all(|daemon| daemon.pid.is_none()), "all are stopped: {daemons:?}");
    cluster.start_again();

    assert_eq!(cluster.status().cluster, identity);
    tools::assert_got(&cluster, &file);
    let again = cluster.start_command(cairn_tests::COMMAND_DEADLINE).expect_success();
    assert!(again.stderr.len() + again.stdout.len() > 0, "a cluster that runs already says so: {again}");
    tools::assert_got(&cluster, &file);
}

#[test]
fn dev_kills_and_starts_single_daemons() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let before = cluster.process("node-2");
    cluster.dev_kill("node-2").expect_success();
    assert!(!before.is_alive());
    let daemons = cluster.daemons();
    let node = daemons.iter().find(|daemon| daemon.name == "node-2").expect("a killed daemon is still listed");
    assert_eq!(node.pid, None, "{node:?}");

    cluster.revive(&["node-2"]);
    assert!(cluster.process("node-2").is_alive());
    assert_ne!(cluster.process("node-2"), before);
    let unknown = cluster.dev_kill("node-99").expect_failure();
    assert!(unknown.stderr.contains("node-99"), "{unknown}");
}
