//! Waiting for something observable. The only place of the harness where a polling interval lives.

use std::thread;
use std::time::{Duration, Instant};

/// How often a cheap probe (a file, a process) is looked at.
const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// The same for what is measured meanwhile and would be slower for being looked at.
const SELDOM_INTERVAL: Duration = Duration::from_millis(200);

/// Calls `probe` until it answers `Some`, or `deadline` has passed: then `None`.
///
/// The probe runs at least once, and once more after the deadline, so that a slow probe cannot turn
/// a condition that holds into a failure.
pub fn within<T>(deadline: Duration, probe: impl FnMut() -> Option<T>) -> Option<T> {
    within_every(PROBE_INTERVAL, deadline, probe)
}

fn within_every<T>(interval: Duration, deadline: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + deadline;
    loop {
        let last = Instant::now() >= end;
        if let Some(found) = probe() {
            return Some(found);
        }
        if last {
            return None;
        }
        thread::sleep(interval);
    }
}

/// Like [`within`], and panics with `what` when the deadline passes.
#[track_caller]
pub fn until<T>(what: &str, deadline: Duration, probe: impl FnMut() -> Option<T>) -> T {
    match within(deadline, probe) {
        Some(found) => found,
        None => panic!("waited {deadline:?} in vain: {what}"),
    }
}

/// Like [`until`], for a condition.
#[track_caller]
pub fn until_true(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    until(what, deadline, || holds().then_some(()));
}

/// Like [`until_true`], and looks seldom enough to leave the machine to what is measured.
#[track_caller]
pub fn until_true_at_leisure(what: &str, deadline: Duration, mut holds: impl FnMut() -> bool) {
    let held = within_every(SELDOM_INTERVAL, deadline, || holds().then_some(()));
    assert!(held.is_some(), "waited {deadline:?} in vain: {what}");
}

#[cfg(test)]
mod tests {
    use super::within;
    use std::time::Duration;

    #[test]
    fn a_condition_that_holds_at_once_needs_no_time() {
        assert_eq!(within(Duration::ZERO, || Some(7)), Some(7));
    }

    #[test]
    fn a_condition_that_never_holds_ends_with_the_deadline() {
        let mut probes = 0;
        let found = within(Duration::from_millis(30), || {
            probes += 1;
            None::<()>
        });
        assert_eq!(found, None);
        assert!(probes >= 2, "probed at least at the start and after the deadline, was {probes}");
    }
}
