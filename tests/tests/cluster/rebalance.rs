//! Goal: nodes that are added take their share of what is there, by themselves, and nothing is lost on the way.

use std::fs;
use std::process::Command;
use std::time::Duration;

use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::binary::cairn_program;
use cairn_tests::finished::Finished;
use cairn_tests::status::ListedNode;
use cairn_tests::{Machine, wait, workload};
use serde_json::Value;

/// From the start of the nodes to their share, on a machine that has other work too.
const DEADLINE: Duration = Duration::from_mins(4);
const COMMAND_DEADLINE: Duration = Duration::from_mins(1);
/// Room on each node; the files fill three of them to some 60 %.
const LIMIT: &str = "96MiB";
const FILES: u64 = 56;
const FILE_BYTES: u64 = 2 << 20;
/// How far nodes may be apart afterwards, in percent of their limits.
const WITHIN: u64 = 5;

fn cairn(cluster: &BareCluster, arguments: &[&str]) -> Finished {
    let mut command = Command::new(cairn_program());
    command.args(arguments).current_dir(cluster.root()).env("CAIRN_MASTERS", cluster.addresses().join(","));
    Finished::of(&mut command, COMMAND_DEADLINE)
}

fn listed(cluster: &BareCluster) -> Vec<ListedNode> {
    cairn(cluster, &["node", "list", "--json"]).expect_success().json()
}

fn rebalance(cluster: &BareCluster, action: &str) -> Value {
    cairn(cluster, &["node", "rebalance", action, "--json"]).expect_success().json()
}

/// How far the fullest and the emptiest node are apart, in percent of the limit.
fn gap(cluster: &BareCluster) -> u64 {
    let nodes = listed(cluster);
    let fills = || nodes.iter().map(|node| node.used_bytes * 100 / node.limit_bytes);
    fills().max().unwrap() - fills().min().unwrap()
}

#[test]
fn two_nodes_that_are_added_are_filled_as_full_as_the_others() {
    let _machine = Machine::shared();
    let mut cluster = BareCluster::of_masters(1, "2+1", Program::Cairn).with_short_memory();
    for name in ["node-1", "node-2", "node-3", "node-4", "node-5"] {
        cluster.add_node(name, Program::Cairn);
        cluster.set_node_limit(name, LIMIT);
    }
    for name in ["master-1", "node-1", "node-2", "node-3"] {
        cluster.start(name);
    }
    cairn(&cluster, &["ready", "--wait", "--timeout", "50s"]).expect_success();
    let source = cluster.root().join("source");
    fs::create_dir_all(&source).unwrap();
    let files: Vec<_> = (0..FILES)
        .map(|number| {
            let name = format!("file-{number}");
            let file = workload::random_file(&source, &name, FILE_BYTES, number);
            cairn(&cluster, &["put", file.path.to_str().unwrap()]).expect_success();
            file
        })
        .collect();
    rebalance(&cluster, "stop");
    for name in ["node-4", "node-5"] {
        cluster.start(name);
    }
    wait::until_true("the new nodes serve", DEADLINE, || {
        let nodes = listed(&cluster);
        nodes.len() == 5 && nodes.iter().all(|node| node.state == "active")
    });
    assert!(gap(&cluster) > 5 * WITHIN);
    assert_eq!(rebalance(&cluster, "status")["moved_chunks"], 0, "it was stopped");
    rebalance(&cluster, "start");
    wait::until_true("the nodes are about equally full", DEADLINE, || {
        let status = rebalance(&cluster, "status");
        status["running"] == false && status["moved_chunks"].as_u64() > Some(0) && gap(&cluster) <= WITHIN
    });
    wait::until_true("the old chunks are cleared", DEADLINE, || {
        listed(&cluster).iter().all(|node| node.chunks == node.stored_chunks)
    });
    for file in &files {
        let out = cluster.root().join("copy");
        cairn(&cluster, &["get", &file.name, out.to_str().unwrap()]).expect_success();
        assert!(fs::read(&out).unwrap() == fs::read(&file.path).unwrap(), "{} reads wrong", file.name);
    }
}
