//! Goal: the death of the elected master is a pause, not an error.

use std::sync::mpsc;
use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools, workload};

const COPY_LIMIT: Duration = Duration::from_secs(8);
const FILES: usize = 200;
const COPIED_BEFORE_THE_KILL: usize = 70;

#[test]
fn killing_the_elected_master_in_mid_copy_fails_no_copy() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let files = workload::tree(&cluster.folder("tree"), FILES, 5);
    let elected = cluster.elected();

    std::thread::scope(|scope| {
        let (reached, wait_for_copies) = mpsc::channel();
        let (cluster, elected) = (&cluster, &elected);
        scope.spawn(move || {
            wait_for_copies.recv().expect("the copies get that far");
            cluster.kill(elected);
        });
        for (number, file) in files.iter().enumerate() {
            if number == COPIED_BEFORE_THE_KILL {
                reached.send(()).expect("the killer waits");
            }
            let took = tools::copy(&file.path, &cluster.mount_path()).expect_success().took;
            assert!(took < COPY_LIMIT, "cp of {} (number {number}) took {took:?}", file.name);
        }
    });

    assert_ne!(cluster.elected(), elected);
    tools::assert_read_back(&cluster.mount_path(), &files);
    tools::assert_read_back(cluster.mount("second").path(), &files);
    cluster.dev_start(&elected).expect_success();
    tools::assert_read_back(cluster.mount("third").path(), files.iter().take(20));
}
