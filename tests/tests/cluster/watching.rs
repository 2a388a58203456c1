//! Goal: whoever watches keys is told each change once and in order, or that some were missed; and a mount shows what is
//! changed elsewhere because it is told, long before what it knew grows old.

use std::fs;
use std::path::Path;
use std::time::Duration;

use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, KeyWatcher, Machine, Mount, fuse, tools, wait};

/// From a change until another mount shows it: generous, and far below the ten minutes for which a name is believed.
const TOLD_DEADLINE: Duration = Duration::from_mins(1);
const CHANGES_WHILE_MASTERS_CHANGE: usize = 30;
/// Times that a file is written, by one mount and the other in turn.
const TURNS: usize = 40;

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

/// Waits until the mount is told of changes, and so believes what it knows for ten minutes.
fn wait_followed(mount: &Mount) {
    wait::until_true("the mount is told of changes", TOLD_DEADLINE, || {
        mount.said().contains("changes made elsewhere are told from now on")
    });
}

fn contents(mount: &Mount, name: &str) -> Option<String> {
    fs::read_to_string(mount.path().join(name)).ok()
}

fn size(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|found| found.len())
}

#[test]
fn s50_a_mount_is_told_what_is_changed_elsewhere() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let mount = cluster.mount("told");
    for key in ["replaced", "removed", "renamed", "touched"] {
        put(&cluster, key, "old");
    }
    let path = |name: &str| mount.path().join(name);
    wait_followed(&mount);
    for key in ["replaced", "removed", "renamed", "touched"] {
        assert_eq!(size(&path(key)), Some(3));
    }
    let writer = cluster.mount("writer");
    put(&cluster, "replaced", "newer");
    cluster.run(&["rm", "removed"]).expect_success();
    cluster.run(&["mv", "renamed", "moved"]).expect_success();
    put(&cluster, "created", "created");
    tools::shell("chmod 600 touched", writer.path(), COMMAND_DEADLINE).expect_success();
    wait::until_true("the replaced file is seen", TOLD_DEADLINE, || size(&path("replaced")) == Some(5));
    assert_eq!(contents(&mount, "replaced").as_deref(), Some("newer"));
    wait::until_true("the removed file is gone", TOLD_DEADLINE, || size(&path("removed")).is_none());
    wait::until_true("the renamed file is gone", TOLD_DEADLINE, || size(&path("renamed")).is_none());
    assert_eq!(contents(&mount, "moved").as_deref(), Some("old"));
    assert_eq!(contents(&mount, "created").as_deref(), Some("created"));
    wait::until_true("the new mode is seen", TOLD_DEADLINE, || {
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path("touched")).unwrap().permissions()) & 0o777 == 0o600
    });
}

#[test]
fn s50_what_a_mount_knows_of_a_file_never_outlives_what_another_did_to_it() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let mounts = [cluster.mount("one"), cluster.mount("two")];
    mounts.iter().for_each(wait_followed);
    let path = |mount: usize| mounts[mount].path().join("file");
    // Read so often that look-up and opening become one request.
    for turn in 0..TURNS {
        let (writer, reader) = (turn % 2, 1 - turn % 2);
        let text = "x".repeat(1 + turn);
        fs::write(path(writer), &text).unwrap();
        assert_eq!(contents(&mounts[reader], "file").as_ref(), Some(&text), "what was closed is what is opened");
        assert_eq!(contents(&mounts[writer], "file").as_ref(), Some(&text));
        wait::until_true("the new length is told", TOLD_DEADLINE, || size(&path(reader)) == Some(text.len() as u64));
        if turn % 4 == 3 {
            fs::remove_file(path(reader)).unwrap();
            assert_eq!(contents(&mounts[writer], "file"), None, "it is gone");
            assert_eq!(size(&path(writer)), None);
            assert_eq!(size(&path(reader)), None);
        }
    }
}

/// Names as `ls -l` shows them, which asks for the attributes of each.
fn listed(mount: &Path) -> Vec<String> {
    let script = "set -o pipefail; LC_ALL=C ls -l | awk 'NR > 1 { print $NF }'";
    let listing = tools::shell(script, mount, COMMAND_DEADLINE).expect_success();
    listing.text().lines().map(str::to_owned).collect()
}

#[test]
fn s49_a_listing_shows_own_changes_at_once_and_those_of_others_when_they_are_told() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let mount = cluster.mount("listed");
    wait_followed(&mount);
    let here = mount.path();
    let mut names = Vec::new();
    for number in 0..20 {
        let name = format!("own-{number:02}");
        fs::write(here.join(&name), "contents").unwrap();
        names.push(name);
        assert_eq!(listed(here), names, "own changes are seen at once");
        assert_eq!(listed(here), names);
    }
    fs::remove_file(here.join("own-00")).unwrap();
    fs::rename(here.join("own-01"), here.join("renamed")).unwrap();
    names.drain(..2);
    names.push("renamed".to_owned());
    assert_eq!(listed(here), names);
    assert_eq!(listed(here), names);
    put(&cluster, "zebra", "from elsewhere");
    names.push("zebra".to_owned());
    wait::until_true("a new key is listed", TOLD_DEADLINE, || listed(here) == names);
    cluster.run(&["rm", "own-02"]).expect_success();
    names.remove(0);
    wait::until_true("a removed key is not", TOLD_DEADLINE, || listed(here) == names);
    assert_eq!(listed(here), names);
}

#[test]
fn s49_a_listing_that_did_not_change_is_served_by_the_kernel() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let mount = cluster.mount_with("kept", &["--log", "info,cairn_fs=trace"]);
    wait_followed(&mount);
    for number in 0..50 {
        fs::write(mount.path().join(format!("file-{number:02}")), "contents").unwrap();
    }
    // The last file may still be on its way to its end.
    let asked = || mount.said().matches("entries of the directory are asked for").count();
    wait::until_true("the kernel serves the listing by itself", TOLD_DEADLINE, || {
        let before = asked();
        assert_eq!(listed(mount.path()).len(), 50);
        asked() == before
    });
    fs::write(mount.path().join("one-more"), "contents").unwrap();
    let before = asked();
    assert_eq!(listed(mount.path()).len(), 51);
    assert!(asked() > before, "there is a name more");
}
