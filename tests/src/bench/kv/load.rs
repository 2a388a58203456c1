use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::error::KvError;
use super::worker::{Work, Worker};
use crate::bench::latencies::Latencies;
use crate::bench::processor_time;
use crate::process::Process;

/// Requests before the measured time, so that connections, caches and compilers of branches are warm.
const WARM_UP: Duration = Duration::from_secs(1);

/// The measured time.
#[derive(Debug, Clone, Copy)]
struct Window {
    begin: Instant,
    end: Instant,
}

/// What was seen in the measured time.
#[derive(Debug)]
pub(super) struct Observation {
    pub(super) latencies: Latencies,
    pub(super) took: Duration,
    pub(super) client_time: Duration,
    pub(super) server_time: Duration,
}

/// Lets all workers work at once, each with one request at a time, and gives them back with what was seen.
pub(super) async fn drive(
    workers: Vec<Worker>,
    work: Work,
    measured: Duration,
    servers: &[Process],
) -> Result<(Vec<Worker>, Observation), KvError> {
    let begin = Instant::now() + WARM_UP;
    let window = Window { begin, end: begin + measured };
    let mut running = JoinSet::new();
    for worker in workers {
        running.spawn(repeat(worker, work, window));
    }
    let (client_time, server_time) = times_in(window, servers).await;
    let (mut workers, mut latencies) = (Vec::new(), Latencies::default());
    while let Some(done) = running.join_next().await {
        let (worker, seen) = done.expect("a worker does not panic")?;
        workers.push(worker);
        latencies.merge(seen);
    }
    Ok((workers, Observation { latencies, took: measured, client_time, server_time }))
}

async fn repeat(mut worker: Worker, work: Work, window: Window) -> Result<(Worker, Latencies), KvError> {
    let mut latencies = Latencies::default();
    let mut start = Instant::now();
    while start < window.end {
        worker.step(work).await?;
        let done = Instant::now();
        if (window.begin..window.end).contains(&done) {
            latencies.add(done - start);
        }
        start = done;
    }
    Ok((worker, latencies))
}

async fn times_in(window: Window, servers: &[Process]) -> (Duration, Duration) {
    sleep_until(window.begin).await;
    let before = (processor_time::own(), processor_time::of(servers));
    sleep_until(window.end).await;
    let after = (processor_time::own(), processor_time::of(servers));
    (after.0.saturating_sub(before.0), after.1.saturating_sub(before.1))
}
