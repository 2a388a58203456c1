//! Goal: a mount killed in mid-copy leaves no key, and its space comes back.

use std::process::Command;
use std::time::{Duration, Instant};

use cairn_tests::scale::Scale;
use cairn_tests::{ClusterOptions, DevCluster, Finished, Machine, fuse, tools, wait, workload};

/// `cairn dev`: a session times out after 10 s.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// What is left to the cluster after that.
const SWEEP_LIMIT: Duration = Duration::from_secs(10);
const LEFT_LIMIT_BYTES: u64 = 16 << 20;

#[test]
fn s44_a_mount_that_died_is_cleared_by_the_next_at_the_same_place() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let kept = workload::random_file(&cluster.folder("source"), "kept", 1_000_000, 1);
    let mount = cluster.mount("second");
    tools::copy(&kept.path, mount.path()).expect_success();
    mount.process().kill();
    let dead = std::fs::read_dir(mount.path()).expect_err("nobody serves the directory");
    assert_eq!(dead.raw_os_error(), Some(nix::libc::ENOTCONN), "{dead}");

    let path = mount.path().to_str().unwrap();
    cluster.run(&["mount", path, "--daemon"]).expect_success();
    tools::assert_read_back(mount.path(), [&kept]);
    cluster.run(&["umount", path]).expect_success();
    assert!(!fuse::is_mounted(mount.path()), "two mounts were there, one above the other");
}

#[test]
fn a_mount_killed_in_mid_copy_leaves_no_key_and_gives_its_space_back() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let source = cluster.folder("source");
    let kept = workload::random_file(&source, "kept", 5_000_000, 1);
    tools::copy(&kept.path, &cluster.mount_path()).expect_success();
    let size = Scale::from_environment().big_file_bytes;
    let lost = workload::random_file(&source, "lost", size, 2);
    let before = cluster.stored_bytes();

    let (copy, killed_at) = std::thread::scope(|scope| {
        let copy = scope
            .spawn(|| Finished::of(Command::new("cp").arg(&lost.path).arg(cluster.mount_path()), tools::BULK_DEADLINE));
        wait::until_true("a quarter is stored", tools::BULK_DEADLINE, || cluster.stored_bytes() > before + size / 4);
        cluster.kill("mount");
        (copy.join().expect("cp ends when its mount dies"), Instant::now())
    });
    let _ = copy.expect_failure();
    fuse::detach(&cluster.mount_path());
    let no_key = |when: &str| {
        let answer = cluster.run(&["stat", "lost"]);
        assert_eq!(answer.code(), Some(3), "{when}: {answer}");
    };
    no_key("right after the kill");

    let left = (SESSION_TIMEOUT + SWEEP_LIMIT).saturating_sub(killed_at.elapsed());
    let back = wait::within(left, || (cluster.stored_bytes() <= before + LEFT_LIMIT_BYTES).then_some(()));
    let stored = cluster.stored_bytes();
    assert!(
        back.is_some(),
        "{before} bytes were stored before, {stored} are, {:?} after the kill",
        killed_at.elapsed()
    );
    no_key("after the sweep");
    tools::assert_got(&cluster, &kept);
}
