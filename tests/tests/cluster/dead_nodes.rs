//! Goal: with any two of six nodes dead everything reads; with one dead everything writes; with two dead
//! writing is refused at once, by name.

use std::fs::File;
use std::time::{Duration, Instant};

use cairn_tests::scale::{FULL, Scale};
use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools, workload};

/// From the death of a node until `cairn status` calls it dead: 5 s, and a few heartbeats.
const KNOWN_DEAD_DEADLINE: Duration = Duration::from_secs(15);
/// A refused open, from call to answer.
const REFUSAL_LIMIT: Duration = Duration::from_secs(1);

fn pairs(names: &[String]) -> Vec<[&str; 2]> {
    let numbers = 0..names.len();
    let pairs = numbers.flat_map(|first| (first + 1..names.len()).map(move |second| (first, second)));
    pairs.map(|(first, second)| [names[first].as_str(), names[second].as_str()]).collect()
}

#[test]
fn everything_reads_with_each_pair_of_nodes_dead() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let scale = Scale::from_environment();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let (big, tree) = tools::copy_big_file_and_tree(&cluster, scale);

    let names = cluster.node_names();
    let pairs = pairs(&names);
    assert_eq!(pairs.len(), 15);
    // Every file is read with some pair dead; in the long version, with every pair.
    let step = if scale == FULL { 1 } else { pairs.len() };
    for (number, pair) in pairs.iter().enumerate() {
        for name in pair {
            cluster.kill(name);
        }
        // A new mount has nothing cached.
        let mount = cluster.mount(&format!("without-{}-{}", pair[0], pair[1]));
        tools::assert_read_back(mount.path(), tree.iter().skip(number % step).step_by(step).chain([&big]));
        drop(mount);
        cluster.revive(pair);
    }
}

#[test]
fn with_one_of_six_nodes_dead_copies_succeed_and_read_right() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let source = cluster.folder("source");
    let files: Vec<_> =
        (0..6).map(|n| workload::random_file(&source, &format!("file-{n}"), 1 << (10 + 3 * n), n)).collect();

    cluster.kill("node-4");
    // Nobody has noticed yet.
    tools::copy_all(&files[..3], &cluster.mount_path());
    cluster.wait_nodes(KNOWN_DEAD_DEADLINE, "dead", &["node-4"]);
    tools::copy_all(&files[3..], &cluster.mount_path());
    tools::assert_read_back(cluster.mount("second").path(), &files);

    cluster.revive(&["node-4"]);
    tools::assert_read_back(cluster.mount("third").path(), &files);
}

#[test]
fn with_two_of_six_nodes_dead_opening_for_write_fails_at_once_and_names_them() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let file = workload::random_file(&cluster.folder("source"), "file", 1 << 20, 1);
    tools::copy(&file.path, &cluster.mount_path()).expect_success();
    let dead = ["node-2", "node-5"];
    for name in dead {
        cluster.kill(name);
    }
    cluster.wait_nodes(KNOWN_DEAD_DEADLINE, "dead", &dead);

    let log_before = cluster.log("mount").len();
    let start = Instant::now();
    let error = File::create(cluster.mount_path().join("new")).expect_err("two of six nodes are dead");
    let took = start.elapsed();
    assert!(took < REFUSAL_LIMIT, "the open was refused only after {took:?}: {error}");
    assert_eq!(error.raw_os_error(), Some(nix::libc::EHOSTUNREACH), "{error}");
    let said = cluster.log("mount")[log_before..].to_owned();
    assert!(dead.iter().all(|name| said.contains(name)), "the mount's log does not name {dead:?}: {said}");

    let put = cluster.run(&["put", file.path.to_str().unwrap(), "other"]).expect_code(5);
    assert!(dead.iter().all(|name| put.stderr.contains(name)), "{dead:?} are not named: {put}");
    let other = cluster.run(&["stat", "other"]);
    assert_eq!(other.code(), Some(3), "a refused write leaves no key: {other}");
    tools::assert_read_back(&cluster.mount_path(), [&file]);

    cluster.revive(&dead);
    tools::copy(&file.path, &cluster.mount_path().join("new")).expect_success();
}
