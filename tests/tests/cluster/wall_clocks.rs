//! Goal: wall clocks are for people. Those of single masters jump under load, and nothing happens.

use std::time::Duration;

use cairn_fs::client::{Client, ClientOptions};
use cairn_master::clock::{SystemClock, WallClock};
use cairn_proto::wire;
use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::value_load::ValueLoad;
use cairn_tests::{Machine, wait};

const CLIENTS: u64 = 8;
const SECOND_MS: i64 = 1000;
const HOUR_MS: i64 = 3600 * SECOND_MS;
/// Where each clock is moved to in turn, and back.
const OFFSETS_MS: [i64; 5] = [HOUR_MS, -HOUR_MS, 10 * SECOND_MS, -10 * SECOND_MS, 0];
/// How far the end of a lease in its record may be from the clock of its holder: its period and some delay.
const LEASE_SLACK_MS: i64 = 4 * SECOND_MS;
/// Answers between two jumps: about a second, in which the lease is extended.
const ANSWERS: usize = 300;
/// The lease runs out if it is not extended for so long.
const LEASE_PERIOD: Duration = Duration::from_secs(2);
const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn wall_clocks_of_single_masters_that_jump_under_load_change_nothing() {
    let _machine = Machine::alone();
    let mut cluster = BareCluster::of_masters(3, "1+0", Program::MovedClocks);
    cluster.start_all();
    let load = ValueLoad::start(cluster.addresses(), CLIENTS);
    load.quiet();
    let connecting = Client::connect(ClientOptions::new(cluster.addresses(), "test"));
    let client = load.runtime().block_on(connecting).unwrap();
    let lease = || load.runtime().block_on(client.leader()).unwrap().lease.unwrap();
    let before = lease();
    let elected = cluster.master_at(&before.address);
    for name in cluster.names() {
        for offset_ms in OFFSETS_MS {
            load.answers().require_load(Duration::from_secs(1));
            cluster.move_clock(&name, offset_ms);
            if name == elected {
                let what = format!("the lease of {name} shows a clock that is off by {offset_ms} ms");
                wait::until_true(&what, DEADLINE, || shows(&lease(), offset_ms));
            }
            load.wait_answers(ANSWERS);
        }
    }
    let after = lease();
    let ended = load.end();
    println!("{} answers, longest pause {:?}", ended.answers.count(), ended.answers.longest_gap());
    ended.check();
    assert_eq!((after.epoch, &after.address), (before.epoch, &before.address), "another election");
    assert!(ended.answers.longest_gap() < LEASE_PERIOD, "no answer for {:?}", ended.answers.longest_gap());
    for name in cluster.names() {
        let said = cluster.said(&name);
        assert!(!said.contains("session timed out"), "{name} ended a session:\n{said}");
    }
}

/// Whether the holder's clock was off when it wrote the record.
fn shows(lease: &wire::LeaderLease, offset_ms: i64) -> bool {
    let signed = |unix_ms: u64| i64::try_from(unix_ms).unwrap();
    let ahead_ms = signed(lease.end_at_ms) - signed(SystemClock.unix_ms());
    if offset_ms < 0 {
        // Never before the start of the lease, however far the clock jumps back.
        ahead_ms < -LEASE_SLACK_MS
    } else {
        (ahead_ms - offset_ms).abs() < LEASE_SLACK_MS
    }
}
