use std::time::Duration;

use serde::Serialize;

use super::contestant::System;
use super::load::Observation;
use super::tokens::Tally;
use super::worker::Work;

/// What is measured: one work by so many clients on a cluster of one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Case {
    /// Masters, or members of etcd.
    pub members: usize,
    /// What the clients do.
    pub work: Work,
    /// Clients at once.
    pub clients: usize,
    /// Of what.
    pub system: System,
}

/// The figures of a case in one round.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// What was measured.
    #[serde(flatten)]
    pub case: Case,
    /// From 1.
    pub round: usize,
    /// Requests answered in a second.
    pub per_second: f64,
    /// Half of the requests took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// Processors that the clients kept busy.
    pub client_processors: f64,
    /// Processors that all masters or members together kept busy.
    pub server_processors: f64,
    /// Confirmed changes that were not there at the end.
    pub lost: u64,
    /// Changes that were applied more than once.
    pub doubled: u64,
}

impl Measurement {
    pub(super) fn new(case: Case, round: usize, observation: Observation) -> Self {
        let Observation { latencies, took, client_time, server_time } = observation;
        let seconds = took.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "a count of requests is far below 2^52")]
        let per_second = latencies.count() as f64 / seconds;
        let latencies = latencies.sorted();
        Self {
            case,
            round,
            per_second,
            p50_ms: milliseconds(latencies.percentile(50)),
            p99_ms: milliseconds(latencies.percentile(99)),
            client_processors: client_time.as_secs_f64() / seconds,
            server_processors: server_time.as_secs_f64() / seconds,
            lost: 0,
            doubled: 0,
        }
    }

    pub(super) fn count(&mut self, tally: Tally) {
        (self.lost, self.doubled) = (tally.lost, tally.doubled);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
