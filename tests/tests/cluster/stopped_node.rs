//! Goal: a node that neither answers nor closes its connections (SIGSTOP) slows writers down for seconds
//! at most, and readers never see wrong bytes.

use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools, workload};

const COPY_LIMIT: Duration = Duration::from_secs(6);
const SMALL_COPIES: u64 = 30;

#[test]
fn with_one_node_stopped_no_copy_takes_over_six_seconds_and_all_read_right() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let source = cluster.folder("source");
    let large = workload::random_file(&source, "large", 64 << 20, 1);
    let before = workload::random_file(&source, "before", 8 << 20, 2);
    tools::copy(&before.path, &cluster.mount_path()).expect_success();
    let mut files: Vec<_> =
        (0..SMALL_COPIES).map(|n| workload::random_file(&source, &format!("small-{n}"), 1 << 20, 100 + n)).collect();
    files.insert(1, large);

    cluster.freeze("node-3");
    for file in &files {
        let took = tools::copy(&file.path, &cluster.mount_path()).expect_success().took;
        assert!(took < COPY_LIMIT, "cp of {} took {took:?}", file.name);
    }
    files.push(before);
    tools::assert_read_back(cluster.mount("second").path(), &files);

    cluster.thaw("node-3");
    cluster.wait_nodes(Duration::from_secs(30), "active", &["node-3"]);
    tools::assert_read_back(cluster.mount("third").path(), &files);
}

#[test]
fn a_copy_under_way_survives_the_stop_of_a_node() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let file = workload::random_file(&cluster.folder("source"), "file", 256 << 20, 1);
    let data = cluster.data("node-3");
    let empty = cairn_tests::disk_usage::allocated_bytes(&data);
    let took = std::thread::scope(|scope| {
        let copy = scope.spawn(|| tools::copy(&file.path, &cluster.mount_path()).expect_success().took);
        cairn_tests::wait::until_true("the copy reaches the node", Duration::from_secs(30), || {
            cairn_tests::disk_usage::allocated_bytes(&data) > empty + (1 << 20)
        });
        cluster.freeze("node-3");
        copy.join().expect("the copy succeeds")
    });
    // A copy without a stop takes some of it; the stop itself may cost no more than the limit.
    let undisturbed = tools::copy(&file.path, &cluster.mount_path().join("again")).expect_success().took;
    assert!(took < undisturbed + COPY_LIMIT, "took {took:?}, and {undisturbed:?} undisturbed");
    tools::assert_read_back(cluster.mount("second").path(), [&file]);
    cluster.thaw("node-3");
}
