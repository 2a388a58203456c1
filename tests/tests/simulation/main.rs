//! Groups of masters in simulated time, one for each seed.

#![allow(clippy::unwrap_used, reason = "all of this binary is test code, functions beside the tests included")]

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use cairn_tests::Machine;
use cairn_tests::simulation::{Passed, Plan, run};
use cairn_tests::store_group::Service;
use parking_lot::Mutex;

/// Seeds of every run of the tests.
const SEEDS: Range<u64> = 0..200;
/// Seeds at a time.
const WORKERS: usize = 2;

/// `CAIRN_SEEDS`: how many, or `first..end`.
fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("CAIRN_SEEDS") else { return SEEDS };
    let number = |text: &str| text.parse().unwrap_or_else(|error| panic!("CAIRN_SEEDS={asked}: {error}"));
    match asked.split_once("..") {
        Some((first, end)) => number(first)..number(end),
        None => 0..number(&asked),
    }
}

#[test]
fn no_seed_breaks_a_promise() {
    let _machine = Machine::alone();
    let seeds = seeds();
    let (next, started) = (AtomicU64::new(seeds.start), Instant::now());
    let (failures, passed) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let plan = Plan::draw(seed);
                    match run(&plan, Service::Right) {
                        Ok(run) => passed.lock().push(run),
                        Err(failure) => failures.lock().push(format!("{failure}\n{plan}")),
                    }
                }
            });
        }
    });
    let (passed, failures) = (passed.into_inner(), failures.into_inner());
    let operations: usize = passed.iter().map(|run: &Passed| run.operations).sum();
    let unknown: usize = passed.iter().map(|run| run.unknown).sum();
    let simulated: f64 = passed.iter().map(|run| run.time.as_secs_f64()).sum();
    println!(
        "{} of {} seeds passed: {operations} operations answered and {unknown} of unknown outcome in {simulated:.0} s of \
         simulated time, {:.0} s of ours",
        passed.len(),
        seeds.end - seeds.start,
        started.elapsed().as_secs_f64()
    );
    assert!(
        failures.is_empty(),
        "{} seeds failed; `make sim SEEDS=n..n+1` runs seed n\n{}",
        failures.len(),
        failures.join("\n")
    );
}
