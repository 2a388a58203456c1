//! Goal: what people trust a mount with: many writers of one file, files that outlive their keys, masters that go away
//! and come back.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use cairn_tests::scale::{FULL, Scale};
use cairn_tests::status::KeyStatus;
use cairn_tests::workload::{random_file, sum_of_bytes};
use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Machine, fuse, tools, wait};

/// Extents that a file has at most.
const EXTENT_LIMIT: usize = 64;
/// Bytes of a file whose space is looked for.
const LARGE_BYTES: u64 = 64 << 20;
/// What logs and tables of the nodes may grow or shrink by meanwhile.
const SLACK_BYTES: u64 = 24 << 20;
/// From a deletion until its space is back: the grace of a dev cluster is 10 s.
const COLLECTED_DEADLINE: Duration = Duration::from_mins(2);
/// A listing that no master answers.
const NO_MASTER_LIMIT: Duration = Duration::from_secs(10);
/// From the return of the masters until the mount lists again.
const BACK_DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_thousand_children_that_write_to_one_descriptor_leave_every_line() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let script = "exec 3> lines; for n in $(seq 1000); do /bin/echo line $n >&3 || exit; done; exec 3>&-";
    tools::shell(script, &cluster.mount_path(), tools::BULK_DEADLINE).expect_success();
    let counted = tools::shell("seq -f 'line %g' 1000 | cmp - lines", &cluster.mount_path(), COMMAND_DEADLINE);
    counted.expect_success();
    let status: KeyStatus = cluster.run(&["stat", "lines", "--json"]).expect_success().json();
    let extents = status.extents.as_array().map_or(0, Vec::len);
    assert!((1..=EXTENT_LIMIT).contains(&extents), "{extents} extents");
}

#[test]
fn a_file_held_open_outlives_its_key_and_gives_its_space_back_when_it_is_closed() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let rounds = if Scale::from_environment() == FULL { 10 } else { 1 };
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let (source, mount, other) = (cluster.folder("source"), cluster.mount_path(), cluster.mount("other"));
    let empty_bytes = cluster.stored_bytes();
    let held = random_file(&source, "held", LARGE_BYTES, 1);
    tools::copy(&held.path, &mount).expect_success();
    let open = [&*mount, other.path()].map(|folder| File::open(folder.join("held")).unwrap());
    let next = random_file(&source, "next", 1 << 20, 2);
    tools::copy(&next.path, &mount.join("held")).expect_success();
    cluster.run(&["rm", "held"]).expect_success();

    // What was deleted later is collected, so the held file would be if nobody held it.
    for round in 0..rounds {
        let before_bytes = cluster.stored_bytes();
        let later = random_file(&source, &format!("later-{round}"), LARGE_BYTES, 3 + round);
        tools::copy(&later.path, &mount).expect_success();
        assert!(cluster.stored_bytes() > before_bytes + LARGE_BYTES - SLACK_BYTES);
        cluster.run(&["rm", &later.name]).expect_success();
        wait::until_true("a deleted file is collected", COLLECTED_DEADLINE, || {
            cluster.stored_bytes() < before_bytes + SLACK_BYTES
        });
    }
    for mut file in open {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        assert!(sum_of_bytes(&bytes) == held.sum, "other bytes than were opened");
    }
    wait::until_true("the space of the held file is back", COLLECTED_DEADLINE, || {
        cluster.stored_bytes() < empty_bytes + SLACK_BYTES
    });
}

#[test]
fn a_mount_without_masters_says_so_in_time_and_goes_on_when_they_are_back() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let (source, mount) = (cluster.folder("source"), cluster.mount_path());
    let file = random_file(&source, "file", 100_000, 1);
    tools::copy(&file.path, &mount).expect_success();
    cluster.kill("master-1");

    let started = Instant::now();
    let listed = tools::shell("ls", &mount, tools::BULK_DEADLINE).expect_failure();
    let took = started.elapsed();
    assert!(took < NO_MASTER_LIMIT, "{took:?} until {listed}");
    assert!(listed.stderr.contains("No route to host"), "{listed}");

    cluster.revive(&["master-1"]);
    wait::until_true("the mount lists again", BACK_DEADLINE, || {
        tools::shell("ls", &mount, tools::BULK_DEADLINE).text() == "file\n"
    });
    tools::assert_read_back(&mount, [&file]);
    let next = random_file(&source, "next", 100_000, 2);
    tools::copy(&next.path, &mount).expect_success();
}
