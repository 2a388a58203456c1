//! Goal: a command that no master can answer says so soon, and scripts can tell.

use std::thread;
use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, Machine, workload};

/// A command tries for 10 s; the rest is for a machine that has other work too.
const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn with_all_masters_dead_every_command_ends_soon_with_6_and_says_what_it_tried() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default());
    let file = workload::random_file(&cluster.folder("source"), "file", 100_000, 1);
    let path = file.path.to_str().unwrap();
    cluster.run(&["put", path, "file"]).expect_success();
    let masters = cluster.master_names();
    for master in &masters {
        cluster.kill(master);
    }
    let commands: [&[&str]; 8] = [
        &["ls"],
        &["get", "file", "-"],
        &["put", path, "other"],
        &["rm", "file"],
        &["stat", "file"],
        &["kv", "get", "key"],
        &["kv", "put", "key", "value"],
        &["status", "--json"],
    ];
    thread::scope(|scope| {
        for command in commands {
            scope.spawn(|| {
                let answer = cluster.run(command).expect_code(6);
                assert!(answer.took < LIMIT, "took {:?}: {answer}", answer.took);
                assert!(answer.stdout.is_empty(), "messages go to standard error: {answer}");
                let said = &answer.stderr;
                let tried = cluster.masters().split(',').all(|address| said.contains(address));
                assert!(tried, "not all addresses are named: {answer}");
                assert!(said.contains("cairn dev"), "the next step is not named: {answer}");
            });
        }
    });
    cluster.revive(&masters.iter().map(String::as_str).collect::<Vec<_>>());
    cluster.run(&["stat", "file"]).expect_success();
}
