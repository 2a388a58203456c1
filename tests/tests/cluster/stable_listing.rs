//! Goal: a listing shows every key that stays exactly once, whatever comes and goes meanwhile.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use cairn_tests::bench::make_keys;
use cairn_tests::scale::Scale;
use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools};

const LISTINGS: u32 = 5;
/// Stands behind the name of a key that stays, so that keys come and go between those.
const PASSING: &str = ".passing";

/// Adds and removes keys all over the range until told to end; counts the changes.
fn add_and_remove(folder: &Path, keys: u32, ends: &AtomicBool, changes: &AtomicU32) {
    // A stride that meets every number in some order.
    let numbers = (0_u32..).map(|round| round.wrapping_mul(7919) % keys);
    for number in numbers {
        if ends.load(Ordering::Acquire) {
            return;
        }
        let passing = folder.join(format!("key-{number:08}{PASSING}"));
        fs::write(&passing, "passing").unwrap();
        fs::remove_file(&passing).unwrap();
        changes.fetch_add(2, Ordering::AcqRel);
    }
}

#[track_caller]
fn assert_each_once(listing: &str, keys: u32) {
    let stable: Vec<&str> = listing.lines().filter(|name| !name.ends_with(PASSING)).collect();
    let expected = (0..keys).map(|number| format!("key-{number:08}"));
    let differs = expected.zip(&stable).find(|(expected, listed)| expected.as_str() != **listed);
    assert_eq!(differs, None, "in key order each key comes once");
    assert_eq!(stable.len(), keys as usize);
}

#[test]
fn a_listing_shows_each_key_that_stays_once_while_others_come_and_go() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let keys = Scale::from_environment().listed_keys;
    let cluster = DevCluster::start(ClusterOptions::small().nodes(1).layout("1+0").mounted());
    make_keys(&cluster.addresses(), 0..keys).unwrap();
    let other = cluster.mount("other");
    let (ends, changes) = (AtomicBool::new(false), AtomicU32::new(0));
    let listings: Vec<(String, u32)> = std::thread::scope(|scope| {
        let passing = scope.spawn(|| add_and_remove(other.path(), keys, &ends, &changes));
        let list = |_| {
            let before = changes.load(Ordering::Acquire);
            let listing = tools::shell("ls -U", &cluster.mount_path(), tools::BULK_DEADLINE);
            (listing, changes.load(Ordering::Acquire) - before)
        };
        let listings: Vec<_> = (0..LISTINGS).map(list).collect();
        ends.store(true, Ordering::Release);
        passing.join().expect("keys can be added and removed");
        listings.into_iter().map(|(listing, changed)| (listing.expect_success().text(), changed)).collect()
    });
    for (listing, _) in &listings {
        assert_each_once(listing, keys);
    }
    let during: u32 = listings.iter().map(|(_, during)| during).sum();
    assert!(during >= LISTINGS, "void: {during} changes during {LISTINGS} listings");
}

#[test]
#[should_panic(expected = "key-00000001")]
fn a_key_that_is_listed_twice_is_found() {
    assert_each_once("key-00000000\nkey-00000000\nkey-00000001\n", 2);
}

#[test]
#[should_panic(expected = "key-00000001")]
fn a_key_that_is_missing_is_found() {
    assert_each_once("key-00000000\nkey-00000001.passing\nkey-00000002\n", 3);
}
