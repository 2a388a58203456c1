//! Processor time that processes have used, as the kernel counts it.

use std::fs;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::process::Process;

/// The unit of the times in `/proc/<pid>/stat`; Linux promises it to programs on every machine that this runs on.
const TICK: Duration = Duration::from_millis(10);
/// Where the times of user and kernel stand after the name, which may itself have spaces and parentheses.
const USER_TICKS_FIELD: usize = 11;

/// Of the program that asks.
pub(super) fn own() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let microseconds = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(microseconds.unsigned_abs())
}

/// Of other processes together; of one that has ended, nothing.
pub(super) fn of(processes: &[Process]) -> Duration {
    let stats = processes.iter().filter_map(|process| fs::read_to_string(format!("/proc/{}/stat", process.id())).ok());
    stats.filter_map(|stat| ticks(&stat)).map(|ticks| TICK * ticks).sum()
}

fn ticks(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(USER_TICKS_FIELD).map(str::parse::<u32>);
    times.next()?.ok()?.checked_add(times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::{of, own, ticks};
    use crate::process::Process;

    #[test]
    fn user_and_kernel_time_are_found_behind_any_name() {
        let stat = "17 (a ) b (c) S 1 17 17 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some(300));
        assert_eq!(ticks("17 (a) S 1"), None);
    }

    #[test]
    fn both_ways_to_count_see_the_same_process() {
        let before = own();
        let counted = of(&[Process::new(std::process::id())]);
        let after = own();
        let slack = super::TICK * 3;
        assert!(before <= counted + slack && counted <= after + slack, "{before:?} {counted:?} {after:?}");
    }
}
