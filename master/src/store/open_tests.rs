//! Directories that must be refused, and how.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::transport::TcpConnector;

use super::{LeaseOptions, LogOptions, LogWriting, Member, OpenError, ReplicatedStore, Standing, Store, StoreOptions};
use crate::clock::SystemClock;

fn options(dir: &Path, master: u64) -> StoreOptions {
    let member = Member { id: master, name: "master".to_owned(), address: "127.0.0.1:1".to_owned() };
    StoreOptions {
        dir: dir.to_owned(),
        master,
        name: member.name.clone(),
        address: member.address.clone(),
        members: vec![member],
        join: Vec::new(),
        // Does not run out during a test.
        lease: LeaseOptions { period: Duration::from_mins(2), ..LeaseOptions::default() },
        connector: Arc::new(TcpConnector),
        log: LogOptions::default(),
        wall_clock: Arc::new(SystemClock),
        log_writing: LogWriting::Thread,
    }
}

async fn open(options: StoreOptions) -> Result<Arc<ReplicatedStore>, OpenError> {
    super::open::open_with(options, LogOptions::default().into()).await.map(|(store, _)| store)
}

async fn wait_elected(store: &ReplicatedStore) {
    let mut standing = store.standing();
    standing.wait_for(|standing| matches!(standing, Standing::Elected { .. })).await.unwrap();
}

/// Runs a master until it is elected, and closes its directory.
async fn use_once(dir: &Path) {
    let store = open(options(dir, 1)).await.unwrap();
    wait_elected(&store).await;
    let closed = store.closed();
    store.shutdown().await;
    drop(store);
    for mut closed in closed {
        tokio::time::timeout(Duration::from_secs(10), async { while closed.changed().await.is_ok() {} }).await.unwrap();
    }
}

#[tokio::test]
async fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(options(dir.path(), 1)).await.unwrap();
    let error = open(options(dir.path(), 1)).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("in use by another process"), "{error}");
    store.shutdown().await;
}

#[tokio::test]
async fn a_directory_of_another_master_or_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    use_once(dir.path()).await;
    let error = open(options(dir.path(), 2)).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::OtherMaster { found: 1, expected: 2 }), "{error}");
    let identity = dir.path().join("identity.toml");
    let newer = fs::read_to_string(&identity).unwrap().replace("format = 2", "format = 3");
    fs::write(&identity, newer).unwrap();
    let error = open(options(dir.path(), 1)).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("use the newer program"), "{error}");
}

#[tokio::test]
async fn parts_of_different_clusters_are_refused() {
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    use_once(ours.path()).await;
    use_once(theirs.path()).await;
    fs::remove_dir_all(ours.path().join("state")).unwrap();
    fs::rename(theirs.path().join("state"), ours.path().join("state")).unwrap();
    let error = open(options(ours.path(), 1)).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::OtherCluster { .. }), "{error}");
}

#[tokio::test]
async fn a_directory_with_parts_missing_is_refused() {
    for (part, message) in
        [("log", "cannot open the Raft log"), ("state", "the state is missing"), ("identity.toml", "no identity")]
    {
        let dir = tempfile::tempdir().unwrap();
        use_once(dir.path()).await;
        let path = dir.path().join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        let error = open(options(dir.path(), 1)).await.map(drop).unwrap_err();
        assert!(error.to_string().contains(message), "{part}: {error}");
    }
}

/// Every file below a directory, with its size.
fn files_below(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        match entry.metadata().unwrap() {
            metadata if metadata.is_dir() => files.extend(files_below(&entry.path())),
            metadata => drop(files.insert(entry.path(), metadata.len())),
        }
    }
    files
}

#[tokio::test]
async fn a_cut_manifest_of_log_or_state_is_refused_and_nothing_is_removed() {
    for part in ["log", "state/0000000001"] {
        let dir = tempfile::tempdir().unwrap();
        use_once(dir.path()).await;
        let part = dir.path().join(part);
        let name = fs::read_to_string(part.join("CURRENT")).unwrap().trim_end().to_owned();
        let whole = fs::read(part.join(&name)).unwrap();
        for kept in [0, 40, whole.len() / 2, whole.len() - 1] {
            fs::write(part.join(&name), &whole[..kept]).unwrap();
            fs::create_dir_all(dir.path().join("state/staging-half")).unwrap();
            let before = (files_below(&part), fs::read_dir(dir.path().join("state")).unwrap().count());
            let error = open(options(dir.path(), 1)).await.map(drop).unwrap_err().to_string();
            for told in [&name, &format!("{kept} bytes"), &format!("{} were", whole.len()), "cairn master remove"] {
                assert!(error.contains(told), "{told} is not in: {error}");
            }
            let after = (files_below(&part), fs::read_dir(dir.path().join("state")).unwrap().count());
            assert_eq!(after, before, "{}: {kept}", part.display());
        }
        fs::write(part.join(&name), &whole).unwrap();
        use_once(dir.path()).await;
    }
}

#[tokio::test]
async fn a_mark_that_lies_behind_is_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    use_once(dir.path()).await;
    let marks = ["log", "state/0000000001"].map(|part| dir.path().join(part).join("manifest.synced"));
    let earlier = marks.each_ref().map(|mark| fs::read(mark).unwrap());
    for _ in 0..3 {
        use_once(dir.path()).await;
        for (mark, earlier) in marks.iter().zip(&earlier) {
            assert_ne!(&fs::read(mark).unwrap(), earlier, "the manifest was not replaced");
            fs::write(mark, earlier).unwrap();
        }
    }
}

#[tokio::test]
async fn a_master_that_stopped_cleanly_serves_again_at_once_in_a_new_epoch() {
    let dir = tempfile::tempdir().unwrap();
    use_once(dir.path()).await;
    let store = open(options(dir.path(), 1)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), wait_elected(&store)).await.expect("not elected at once");
    assert_eq!(store.lease().unwrap().epoch, 2);
    store.shutdown().await;
}

#[tokio::test]
async fn contradicting_options_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut not_a_member = options(dir.path(), 1);
    not_a_member.master = 2;
    let mut nowhere = options(dir.path(), 1);
    nowhere.members.clear();
    let mut twice = options(dir.path(), 1);
    twice.members.push(twice.members[0].clone());
    let mut too_short = options(dir.path(), 1);
    too_short.lease.period = too_short.lease.extension;
    for wrong in [not_a_member, nowhere, twice, too_short] {
        let error = open(wrong).await.map(drop).unwrap_err();
        assert!(matches!(error, OpenError::Options { .. }), "{error}");
    }
}
