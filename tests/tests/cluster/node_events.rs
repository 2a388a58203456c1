//! Goal: what happened to a node can be read afterwards, also when the master that saw it is gone.

use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, Machine, wait};
use serde::Deserialize;

/// From the death of a node until that is told: 5 s, and a few heartbeats.
const TOLD_DEADLINE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
struct Event {
    at_ms: u64,
    what: String,
    detail: String,
}

fn events(cluster: &DevCluster, node: &str) -> Vec<Event> {
    cluster.run(&["node", "events", node, "--json"]).expect_success().json()
}

/// Waits until just this has happened to a node.
fn wait_told(cluster: &DevCluster, node: &str, expected: &[&str]) -> Vec<Event> {
    let mut last = Vec::new();
    let told = wait::within(TOLD_DEADLINE, || {
        last = events(cluster, node);
        (words(&last) == expected).then_some(())
    });
    assert!(told.is_some(), "not {expected:?} after {TOLD_DEADLINE:?}: {last:?}");
    last
}

fn words(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.what.as_str()).collect()
}

#[test]
fn a_node_that_was_killed_was_missed_then_dead_then_back() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default().nodes(3).layout("2+1"));
    cluster.kill("node-2");
    wait_told(&cluster, "node-2", &["joined", "missed", "dead"]);
    let elected = cluster.elected();
    cluster.kill(&elected);
    cluster.revive(&[&elected, "node-2"]);
    let told = wait_told(&cluster, "node-2", &["joined", "missed", "dead", "back"]);

    assert!(told.is_sorted_by_key(|event| event.at_ms) && told[0].at_ms > 0, "{told:?}");
    assert!(told[0].detail.contains("127.0.0.1:"), "{told:?}");
    assert_eq!(words(&events(&cluster, "node-1"))[0], "joined");
    let shown = cluster.run(&["node", "events", "node-2"]).expect_success();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("WHEN") && shown.contains("it has not answered for long"), "{shown}");
    let unknown = cluster.run(&["node", "events", "node-9"]);
    assert_eq!(unknown.code(), Some(3), "{unknown}");
}
