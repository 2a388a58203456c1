//! Goal: a benchmark that is killed leaves no daemon, no mount and no data behind, and the next one has its figures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cairn_tests::binary::profile_directory;
use cairn_tests::{Finished, Machine, Process, fuse, wait};
use nix::unistd::Uid;

/// From its start until a cluster with a mount is there, and from its death until nothing is.
const DEADLINE: Duration = Duration::from_mins(3);

/// A mount of the cluster that is measured, if there is one.
fn mount(scene: &Path) -> Option<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders = entries(scene).flat_map(|cluster| entries(&cluster).collect::<Vec<_>>());
    folders.find(|folder| fuse::is_mounted(folder))
}

/// Kills a benchmark while it has a mount.
fn kill_while_mounted(arguments: &[&str]) {
    let scene = profile_directory().join("clusters/comparison");
    let mut benchmark =
        Command::new(env!("CARGO_BIN_EXE_cairn-bench")).args(arguments).stdout(Stdio::null()).spawn().unwrap();
    let mount = wait::until("it mounts a cluster", DEADLINE, || mount(&scene));
    let pid_file = mount.with_file_name("dev").join("run/node-1.pid");
    let node = Process::from_pid_file(&pid_file).expect("a mounted cluster has nodes");

    Process::new(benchmark.id()).kill();
    benchmark.wait().unwrap();
    wait::until_true("nothing is left of it", DEADLINE, || !scene.exists());
    assert!(!node.is_alive(), "a node outlived it");
    assert!(!fuse::is_mounted(&mount), "{} is still mounted", mount.display());
}

#[test]
fn a_benchmark_that_is_killed_is_cleared_up() {
    if !fuse::is_usable() || !Uid::effective().is_root() {
        fuse::notice("skipped: what is killed takes root and mounts");
        return;
    }
    let _machine = Machine::shared();
    kill_while_mounted(&["run", "--quick", "--rows", "write-synced", "--rounds", "100"]);
    kill_while_mounted(&["scaling", "--quick", "--series", "metadata"]);

    let output = tempfile::tempdir().unwrap();
    let mut next = Command::new(env!("CARGO_BIN_EXE_cairn-bench"));
    next.args(["scaling", "--quick", "--series", "clients,losses", "--output"]).arg(output.path());
    Finished::of(&mut next, DEADLINE).expect_success();
    let figures = fs::read(output.path().join("bench-scaling.json")).unwrap();
    let figures: serde_json::Value = serde_json::from_slice(&figures).unwrap();
    for chart in figures["charts"].as_array().unwrap() {
        let picture = output.path().join(format!("bench-scaling-{}.svg", chart["name"].as_str().unwrap()));
        assert!(picture.is_file() && chart["lines"][0]["points"].as_array().unwrap().len() == 3, "{chart}");
    }
    let orders = &figures["charts"][2]["lines"][0]["points"][0]["y"]["median"];
    assert!(orders.as_f64().unwrap() >= 1.0, "each lost chunk is ordered: {figures}");
}
