//! Goal: a daemon that is told to stop ends with the code that says how, whatever it is doing.

use std::time::Duration;

use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::{Machine, wait};
use nix::sys::signal::Signal;

const MASTER: &str = "master-1";
/// Enough for an exit at a bad moment, which fails every third time, to be seen.
const ROUNDS: usize = 20;
const START_DEADLINE: Duration = Duration::from_secs(20);
/// Exit code of a daemon that was told twice.
const STOPPED_TWICE: i32 = 130;

/// Sends the signals to a master that serves, `ROUNDS` times. Returns its exit codes; none where a signal ended it.
fn exit_codes(signals: &[Signal]) -> Vec<Option<i32>> {
    let _machine = Machine::shared();
    let mut cluster = BareCluster::of_masters(1, "1+0", Program::Cairn);
    let stop = |round: usize| {
        cluster.start(MASTER);
        let serves = || cluster.said(MASTER).matches("master serves").count() == round;
        wait::until_true("the master serves", START_DEADLINE, serves);
        let process = cluster.process(MASTER).unwrap_or_else(|| panic!("{}", cluster.last_words()));
        for signal in signals {
            process.signal(*signal);
        }
        cluster.wait_end(MASTER).code()
    };
    (1..=ROUNDS).map(stop).collect()
}

#[test]
fn a_master_told_to_stop_ends_with_0() {
    assert_eq!(exit_codes(&[Signal::SIGTERM]), [Some(0); ROUNDS]);
}

#[test]
fn a_master_told_twice_to_stop_ends_at_once_with_130() {
    let codes = exit_codes(&[Signal::SIGTERM, Signal::SIGINT]);
    // In order, if that was done when it heard the second one.
    assert!(codes.iter().all(|code| matches!(code, Some(0 | STOPPED_TWICE))), "{codes:?}");
    assert!(codes.contains(&Some(STOPPED_TWICE)), "no second signal came in time");
}
