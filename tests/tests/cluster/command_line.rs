//! Goal: the commands that other programs rely on, with their JSON fields and exit codes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use cairn_tests::binary::cairn_program;
use cairn_tests::status::{ClusterStatus, KeyStatus, ListedKey, MasterStatus};
use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Finished, Machine, fuse, tools, wait, workload};

#[test]
fn files_go_in_and_out_by_put_get_and_cat() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let folder = cluster.folder("source");
    let file = workload::random_file(&folder, "file", 3_000_000, 1);
    let bytes = fs::read(&file.path).unwrap();
    cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    tools::assert_got(&cluster, &file);

    let target = folder.join("got");
    cluster.run(&["get", "file", target.to_str().unwrap()]).expect_success();
    assert_eq!(fs::read(&target).unwrap(), bytes);
    assert_eq!(cluster.run(&["cat", "file"]).expect_success().stdout, bytes);
    let part = cluster.run(&["cat", "file", "--offset", "65530", "--length", "200000"]).expect_success();
    assert_eq!(part.stdout, bytes[65_530..265_530]);
    let beyond = cluster.run(&["cat", "file", "--offset", "2999990", "--length", "100"]).expect_success();
    assert_eq!(beyond.stdout, bytes[2_999_990..]);
    let after = cluster.run(&["cat", "file", "--offset", "3000000"]).expect_success();
    assert!(after.stdout.is_empty());

    let script = "printf 'from a pipe' | \"$CAIRN\" put - piped && \"$CAIRN\" get piped -";
    let mut piped = Command::new("bash");
    piped.args(["-c", script]).env("CAIRN", cairn_program()).env("CAIRN_MASTERS", cluster.masters());
    assert_eq!(Finished::of(&mut piped, COMMAND_DEADLINE).expect_success().text(), "from a pipe");
    cluster.run(&["put", "/dev/null", "empty"]).expect_success();
    assert!(cluster.run(&["cat", "empty"]).expect_success().stdout.is_empty());
}

#[test]
fn keys_that_are_no_file_names_work_by_command() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = cluster.folder("source").join("file");
    fs::write(&file, "bytes").unwrap();
    for key in ["a/b/c", "..", "ключ", "100%25", " spaces and\nlines ", &"k".repeat(1024)] {
        cluster.run(&["put", file.to_str().unwrap(), key]).expect_success();
        assert_eq!(cluster.run(&["cat", key]).expect_success().text(), "bytes", "{key:?}");
        let status: KeyStatus = cluster.run(&["stat", key, "--json"]).expect_success().json();
        assert_eq!(status.key, key);
    }
    assert_eq!(cluster.run(&["ls", "--json"]).expect_success().json_lines::<ListedKey>().len(), 6);
}

#[test]
fn listings_are_sorted_and_filtered_and_follow_every_change() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = cluster.folder("source").join("file");
    fs::write(&file, "12345").unwrap();
    for key in ["beta", "alpha", "gamma", "alpine"] {
        cluster.run(&["put", file.to_str().unwrap(), key]).expect_success();
    }
    let listed = |arguments: &[&str]| -> Vec<String> {
        let all = [&["ls", "--json"], arguments].concat();
        let keys: Vec<ListedKey> = cluster.run(&all).expect_success().json_lines();
        assert!(keys.iter().all(|key| key.size == 5 && !key.uuid.is_empty()), "{keys:?}");
        keys.into_iter().map(|key| key.key).collect()
    };
    assert_eq!(listed(&[]), ["alpha", "alpine", "beta", "gamma"]);
    assert_eq!(listed(&["alp*"]), ["alpha", "alpine"]);
    assert_eq!(cluster.run(&["ls"]).expect_success().text(), "alpha\nalpine\nbeta\ngamma\n");
    assert_eq!(cluster.run(&["ls", "-l"]).expect_success().text().lines().count(), 4);

    cluster.run(&["mv", "gamma", "aaa"]).expect_success();
    cluster.run(&["rm", "alpha", "beta"]).expect_success();
    assert_eq!(listed(&[]), ["aaa", "alpine"]);
    let _ = cluster.run(&["stat", "gamma"]).expect_code(3);
}

#[test]
fn stat_tells_where_every_chunk_is() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&cluster.folder("source"), "file", 1_000_000, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let status: KeyStatus = cluster.run(&["stat", "file", "--json"]).expect_success().json();
    assert_eq!((status.key.as_str(), status.size), ("file", 1_000_000));
    assert!(status.layout.to_string().contains("2+1"), "{:?}", status.layout);
    assert_eq!(status.digest.len(), 64, "32 bytes in hexadecimal: {}", status.digest);
    assert_eq!(status.chunks.iter().map(|chunk| chunk.index).collect::<Vec<_>>(), [0, 1, 2]);
    let mut nodes: Vec<_> = status.chunks.iter().filter_map(|chunk| chunk.node.clone()).collect();
    nodes.sort();
    assert_eq!(nodes, cluster.node_names(), "three chunks on three nodes");
    let again: KeyStatus = cluster.run(&["stat", "file", "--json"]).expect_success().json();
    assert_eq!(again.uuid, status.uuid);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let replaced: KeyStatus = cluster.run(&["stat", "file", "--json"]).expect_success().json();
    assert_ne!(replaced.uuid, status.uuid, "new bytes make a new blob");
    assert_eq!(replaced.digest, status.digest, "the same bytes have the same digest");
}

#[test]
fn status_shows_masters_nodes_and_what_died() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default());
    let file = workload::random_file(&cluster.folder("source"), "file", 1_000_000, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    cluster.run(&["ready", "--wait"]).expect_success();
    let status = cluster.status();
    assert!(!status.cluster.is_empty());
    assert_eq!((status.masters.len(), status.nodes.len(), status.pending_repairs), (3, 6, 0));
    assert_eq!(status.masters.iter().filter(|master| master.elected).count(), 1);
    assert_eq!(status.masters.iter().filter(|master| master.raft_leader).count(), 1);
    assert!(
        status.nodes.iter().all(|node| node.state == "active" && node.intended == "active" && node.limit_bytes > 0)
    );
    for lost in ["2", "1", "0", "lost"] {
        assert!(status.redundancy.contains_key(lost), "{:?}", status.redundancy);
    }
    assert_eq!((status.redundancy["2"], status.redundancy["lost"]), (1, 0));

    let (masters, elected) = (cluster.master_names(), cluster.elected());
    let [lost, follower] = &masters.into_iter().filter(|name| *name != elected).collect::<Vec<_>>()[..] else {
        panic!("three masters, of which {elected} is elected");
    };
    assert!(master_states(&cluster, follower).iter().all(|(_, state)| state == "active"), "asked of one that follows");
    cluster.kill("node-6");
    cluster.kill(lost);
    cluster.wait_nodes(Duration::from_secs(15), "dead", &["node-6"]);
    let status: ClusterStatus = cluster.status();
    assert_eq!(status.nodes.iter().filter(|node| node.state == "active").count(), 5);
    assert_eq!((status.redundancy["2"], status.redundancy["1"]), (0, 1), "{:?}", status.redundancy);
    let text = cluster.run(&["status"]).expect_success().text();
    assert!(text.contains("node-6") && text.contains("dead"), "{text}");
    let told = master_states(&cluster, follower);
    for (name, state) in &told {
        assert_eq!(state, if name == lost { "unreachable" } else { "active" }, "{told:?}");
    }
}

/// The masters and their states as `cairn master list` tells them that knows of `asked` alone.
fn master_states(cluster: &DevCluster, asked: &str) -> Vec<(String, String)> {
    let list = cluster.run(&["master", "list", "--json", "--masters", &cluster.address(asked)]).expect_success();
    list.json::<Vec<MasterStatus>>().into_iter().map(|master| (master.name, master.state)).collect()
}

#[test]
fn ready_says_when_a_cluster_cannot_take_writes() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    cluster.run(&["ready"]).expect_success();
    for name in ["node-1", "node-2"] {
        cluster.kill(name);
    }
    cluster.wait_nodes(Duration::from_secs(15), "dead", &["node-1", "node-2"]);
    let not_ready = cluster.run(&["ready"]).expect_code(5);
    assert!(not_ready.stderr.contains("node-1") && not_ready.stderr.contains("node-2"), "{not_ready}");
    cluster.revive(&["node-1", "node-2"]);
    cluster.run(&["ready", "--wait"]).expect_success();
}

#[test]
fn a_mount_goes_to_the_background_when_ready_and_is_taken_away_by_umount() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let path = cluster.folder("by-hand");
    let text = path.to_str().unwrap();
    cluster.run(&["mount", text, "--daemon"]).expect_success();
    assert!(fuse::is_mounted(&path), "--daemon returns when the mount is ready");
    fs::write(path.join("file"), "bytes").unwrap();
    cluster.run(&["umount", text]).expect_success();
    wait::until_true("the mount is gone", COMMAND_DEADLINE, || !fuse::is_mounted(&path));
    assert_eq!(cluster.run(&["cat", "file"]).expect_success().text(), "bytes");
    let _ = cluster.run(&["umount", text]).expect_failure();
}
