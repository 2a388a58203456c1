//! Goal: full nodes refuse early, as ENOSPC, and what was stored before stays right.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use cairn_tests::{ClusterOptions, DevCluster, ForegroundDaemon, Machine, fuse, tools, wait, workload};

/// What each node may store.
const LIMIT: &str = "96MiB";
/// More than three nodes with that limit hold in layout 2+1.
const TOO_MUCH_BYTES: u64 = 400 << 20;
/// Aborted transactions are forgotten, collected space is counted again.
const ROOM_DEADLINE: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct NodeConfig<'texts> {
    name: &'texts str,
    dir: PathBuf,
    listen: String,
    masters: Vec<&'texts str>,
    limit: &'texts str,
}

/// Starts a node of the cluster again, with a limit, as a child of the test.
fn limited(cluster: &DevCluster, name: &str) -> ForegroundDaemon {
    let masters = cluster.masters().split(',').collect();
    let config = NodeConfig { name, dir: cluster.data(name), listen: cluster.address(name), masters, limit: LIMIT };
    cluster.dev_kill(name).expect_success();
    let folder = cluster.folder("limited");
    let file = folder.join(format!("{name}.toml"));
    fs::write(&file, toml::to_string(&config).unwrap()).unwrap();
    ForegroundDaemon::start(&["node", "--config", file.to_str().unwrap()], &folder.join(format!("{name}.log")))
}

#[test]
fn full_nodes_refuse_with_enospc_and_lose_nothing() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let names = cluster.node_names();
    let _nodes: Vec<_> = names.iter().map(|name| limited(&cluster, name)).collect();
    cluster.wait_nodes(ROOM_DEADLINE, "active", &names);
    let limit = cluster.status().node("node-1").limit_bytes;
    assert_eq!(limit, 96 << 20, "the limit of the configuration is reported");

    let source = cluster.folder("source");
    let kept = workload::random_file(&source, "kept", 20 << 20, 1);
    let too_much = workload::random_file(&source, "too-much", TOO_MUCH_BYTES, 2);
    tools::copy(&kept.path, &cluster.mount_path()).expect_success();

    let refused = tools::copy(&too_much.path, &cluster.mount_path()).expect_failure();
    assert!(refused.stderr.contains("No space left on device"), "{refused}");
    let put = cluster.run(&["put", too_much.path.to_str().unwrap(), "put"]).expect_code(1);
    assert!(put.stderr.contains("space"), "{put}");
    for key in ["too-much", "put"] {
        let answer = cluster.run(&["stat", key]);
        assert_eq!(answer.code(), Some(3), "{key} must not exist: {answer}");
    }
    tools::assert_read_back(&cluster.mount_path(), [&kept]);

    // What was refused gives its room back.
    let small = workload::random_file(&source, "small", 20 << 20, 3);
    wait::until_true("there is room again", ROOM_DEADLINE, || {
        tools::copy(&small.path, &cluster.mount_path()).succeeded()
    });
    tools::assert_read_back(cluster.mount("second").path(), [&kept, &small]);
}
