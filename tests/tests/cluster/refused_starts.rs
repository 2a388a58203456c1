//! Goal: what cannot work is refused at the start, with its cause and the next step.

use std::fs;
use std::process::Command;
use std::time::Duration;

use cairn_tests::binary::cairn_program;
use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Finished, Machine, fuse, tools, workload};

/// A refusal needs no waiting for anything.
const REFUSAL_DEADLINE: Duration = Duration::from_secs(20);

#[track_caller]
fn cairn(arguments: &[&str]) -> Finished {
    let mut command = Command::new(cairn_program());
    Finished::of(command.args(arguments).env_remove("CAIRN_MASTERS"), REFUSAL_DEADLINE)
}

#[test]
fn daemons_do_not_listen_outside_loopback_without_being_told_that_it_is_insecure() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let node = format!(
        "name = \"node-1\"\ndir = {data:?}\nlisten = \"0.0.0.0:0\"\nmasters = [\"127.0.0.1:1\"]\nlimit = \"1GiB\"\n"
    );
    let master = format!(
        "id = 1\nname = \"master-1\"\ndir = {data:?}\nlisten = \"0.0.0.0:0\"\n\
         [[members]]\nid = 1\nname = \"master-1\"\naddress = \"127.0.0.1:1\"\n"
    );
    for (daemon, config) in [("node", node), ("master", master)] {
        let file = folder.path().join(format!("{daemon}.toml"));
        fs::write(&file, config).unwrap();
        let refused = cairn(&[daemon, "--config", file.to_str().unwrap()]).expect_failure();
        let said = format!("{}{}", refused.text(), refused.stderr);
        assert!(said.contains("--insecure") && said.contains("0.0.0.0:0"), "cause and next step are named: {refused}");
        assert!(!data.exists(), "{daemon} was refused before it wrote anything");
    }
}

#[test]
fn a_configuration_that_makes_no_sense_is_a_usage_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("node.toml");
    for (config, named) in
        [("nam = \"node-1\"", "nam"), ("name = ", "node.toml"), ("name = \"node-1\"\nlimit = \"many\"", "limit")]
    {
        fs::write(&file, config).unwrap();
        let refused = cairn(&["node", "--config", file.to_str().unwrap()]).expect_code(2);
        assert!(refused.stderr.contains(named), "{named} is named: {refused}");
    }
    let missing = cairn(&["master", "--config", "/no/such/file.toml"]).expect_code(2);
    assert!(missing.stderr.contains("/no/such/file.toml"), "{missing}");
}

#[test]
fn a_dev_cluster_whose_layout_does_not_fit_its_nodes_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("dev");
    let dev = |layout: &str| {
        let refused = cairn(&[
            "dev",
            "--daemon",
            "--nodes",
            "3",
            "--masters",
            "1",
            "--layout",
            layout,
            "--dir",
            dir.to_str().unwrap(),
        ]);
        assert!(!dir.join("data").exists(), "nothing was started: {refused}");
        refused
    };
    let refused = dev("4+2").expect_failure();
    assert!(refused.stderr.contains("4+2") && refused.stderr.contains('6'), "{refused}");
    for nonsense in ["4", "0+2", "200+100", "four+two"] {
        let _ = dev(nonsense).expect_code(2);
    }
}

#[test]
fn a_mount_whose_layout_does_not_fit_the_cluster_refuses_writes_at_open() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&cluster.folder("source"), "file", 100_000, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let wide = cluster.mount_with("wide", &["-o", "layout=4+2"]);
    tools::assert_read_back(wide.path(), [&file]);
    let refused = tools::copy(&file.path, &wide.path().join("new")).expect_failure();
    assert!(refused.took < Duration::from_secs(1), "refused at open: {refused}");
    assert!(
        wide.said().contains('6') && wide.said().contains('3'),
        "needed and serving nodes are named: {}",
        wide.said()
    );
    assert_eq!(cluster.run(&["stat", "new"]).code(), Some(3));
}

#[test]
fn a_mount_without_a_cluster_ends_with_6_and_leaves_nothing_mounted() {
    if !fuse::is_usable() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let mut command = Command::new(cairn_program());
    command.args(["mount", path, "--masters", "127.0.0.1:1", "--daemon"]);
    let refused = Finished::of(&mut command, COMMAND_DEADLINE).expect_code(6);
    assert!(refused.stderr.contains("127.0.0.1:1"), "{refused}");
    assert!(!fuse::is_mounted(folder.path()));
}
