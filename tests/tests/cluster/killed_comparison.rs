//! Goal: a benchmark that is killed leaves no daemon, no mount and no data behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_tests::binary::profile_directory;
use cairn_tests::{Machine, Process, fuse, wait};
use nix::unistd::Uid;

/// From its start until a cluster with a mount is there, and from its death until nothing is.
const DEADLINE: Duration = Duration::from_mins(3);

/// The mount of the cluster that is compared, if there is one.
fn mount(scene: &Path) -> Option<PathBuf> {
    let clusters = fs::read_dir(scene).into_iter().flatten().flatten();
    clusters.map(|cluster| cluster.path().join("mount")).find(|mount| fuse::is_mounted(mount))
}

#[test]
fn a_comparison_that_is_killed_is_cleared_up() {
    if !fuse::is_usable() || !Uid::effective().is_root() {
        fuse::notice("skipped: a comparison takes root and mounts");
        return;
    }
    let _machine = Machine::shared();
    let scene = profile_directory().join("clusters/comparison");
    let mut comparison = Command::new(env!("CARGO_BIN_EXE_cairn-bench"))
        .args(["run", "--quick", "--rows", "write-synced", "--rounds", "100"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mount = wait::until("it mounts a cluster", DEADLINE, || mount(&scene));
    let pid_file = mount.with_file_name("dev").join("run/node-1.pid");
    let node = Process::from_pid_file(&pid_file).expect("a mounted cluster has nodes");

    Process::new(comparison.id()).kill();
    comparison.wait().unwrap();
    wait::until_true("nothing is left of it", DEADLINE, || !scene.exists());
    assert!(!node.is_alive(), "a node outlived it");
    assert!(!fuse::is_mounted(&mount), "{} is still mounted", mount.display());
}
