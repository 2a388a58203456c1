//! Goal: whoever watches keys is told each change once and in order, or that some were missed.

use std::fs;
use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, KeyWatcher, Machine, wait};

/// From a change until it is told.
const TOLD_DEADLINE: Duration = Duration::from_mins(1);
const CHANGES_WHILE_MASTERS_CHANGE: usize = 30;

fn put(cluster: &DevCluster, key: &str, contents: &str) {
    let file = cluster.folder("source").join("file");
    fs::write(&file, contents).unwrap();
    cluster.run(&["put", file.to_str().unwrap(), key]).expect_success();
}

#[test]
fn a_watcher_sees_what_another_client_does_in_order() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    put(&cluster, "before", "1");
    let all = KeyWatcher::start(&cluster, &["--json"]);
    let photos = KeyWatcher::start(&cluster, &["photo-*"]);
    put(&cluster, "note", "12");
    put(&cluster, "photo-1", "123");
    put(&cluster, "photo-1", "1234");
    cluster.run(&["mv", "photo-1", "photo-2"]).expect_success();
    cluster.run(&["rm", "note", "photo-2"]).expect_success();
    let told = all.wait_changes(7, TOLD_DEADLINE);
    let told: Vec<(&str, &str, Option<u64>)> =
        told.iter().map(|change| (change.key.as_str(), change.change.as_str(), change.size)).collect();
    assert_eq!(
        told,
        [
            ("note", "created", Some(2)),
            ("photo-1", "created", Some(3)),
            ("photo-1", "replaced", Some(4)),
            ("photo-1", "removed", None),
            ("photo-2", "created", Some(4)),
            ("note", "removed", None),
            ("photo-2", "removed", None),
        ]
    );
    let lines = photos.wait_lines(5, TOLD_DEADLINE);
    assert_eq!(lines[..2], ["created    photo-1", "replaced   photo-1"]);
    assert_eq!(lines[4], "removed    photo-2");
    assert!(photos.stop().success(), "an interrupt is how it ends");
}

#[test]
fn a_watcher_is_told_each_change_once_while_the_elected_master_changes() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default());
    let watcher = KeyWatcher::start(&cluster, &["--json"]);
    let elected = cluster.elected();
    let mut expected = Vec::new();
    for number in 0..CHANGES_WHILE_MASTERS_CHANGE {
        if number == CHANGES_WHILE_MASTERS_CHANGE / 3 {
            cluster.kill(&elected);
        }
        if number == 2 * CHANGES_WHILE_MASTERS_CHANGE / 3 {
            cluster.dev_start(&elected).expect_success();
        }
        let key = format!("key-{number:03}");
        put(&cluster, &key, "contents");
        expected.push(key);
    }
    assert_ne!(cluster.elected(), elected);
    let told = watcher.wait_changes(expected.len(), TOLD_DEADLINE);
    let keys: Vec<String> = told.iter().map(|change| change.key.clone()).collect();
    assert_eq!(keys, expected);
    assert!(told.is_sorted_by(|one, next| one.index < next.index), "{told:?}");
    assert!(!watcher.said().contains("missed"), "{}", watcher.said());
}

#[test]
fn a_watcher_whose_history_is_gone_is_told_so_and_goes_on() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().masters(1));
    let watcher = KeyWatcher::start(&cluster, &[]);
    put(&cluster, "a", "1");
    watcher.wait_lines(1, TOLD_DEADLINE);
    // What a master knows of changes is memory, and there is no other one that has it. The watcher hears nothing of the
    // second life of this one.
    watcher.freeze();
    cluster.kill("master-1");
    cluster.dev_start("master-1").expect_success();
    put(&cluster, "b", "1");
    cluster.kill("master-1");
    cluster.dev_start("master-1").expect_success();
    watcher.thaw();
    wait::until_true("the watcher is told", TOLD_DEADLINE, || watcher.said().contains("changes were missed"));
    put(&cluster, "d", "1");
    wait::until_true("it goes on", TOLD_DEADLINE, || watcher.lines().last().is_some_and(|line| line.ends_with(" d")));
}
