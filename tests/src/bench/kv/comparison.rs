use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use super::contestant::{Contestant, System};
use super::error::KvError;
use super::load::drive;
use super::measurement::{Case, Measurement};
use super::report::KvReport;
use super::tokens::Tally;
use super::worker::{Work, Worker};
use crate::bench::scratch::scratch_folder;

/// What to compare.
#[derive(Debug, Clone)]
pub struct KvOptions {
    /// Compare with etcd.
    pub etcd: bool,
    /// Sizes of the clusters.
    pub members: Vec<usize>,
    /// Numbers of clients.
    pub clients: Vec<usize>,
    /// Measured time of each figure.
    pub measured: Duration,
    /// Rounds of each cluster, each on a new one.
    pub rounds: usize,
    /// Length of the values that are put.
    pub value_bytes: usize,
}

impl KvOptions {
    fn systems(&self) -> &'static [System] {
        if self.etcd { &[System::Cairn, System::Etcd] } else { &[System::Cairn] }
    }
}

/// Measures every case. Clusters run one after another, never beside each other, and the order of the systems turns
/// from round to round. `seen` gets each measurement at once.
pub fn compare_kv(options: &KvOptions, seen: &mut dyn FnMut(&Measurement)) -> Result<KvReport, KvError> {
    let scratch = scratch_folder();
    let systems = options.systems();
    let mut measurements = Vec::new();
    for round in 1..=options.rounds {
        for members in &options.members {
            for turn in 0..systems.len() {
                let system = systems[(round + turn) % systems.len()];
                let folder = scratch.path().join(format!("{system}-{members}-{round}"));
                let of_one = one_cluster(options, system, *members, round, &folder)?;
                of_one.iter().for_each(&mut *seen);
                measurements.extend(of_one);
            }
        }
    }
    Ok(KvReport::new(options.clone(), measurements))
}

/// On one thread: a client that takes turns with itself costs the servers least.
fn one_cluster(
    options: &KvOptions,
    system: System,
    members: usize,
    round: usize,
    folder: &Path,
) -> Result<Vec<Measurement>, KvError> {
    let contestant = Contestant::start(system, members, folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| KvError::Cluster { what: "start a runtime", said: error.to_string() })?;
    let mut measurements = Vec::new();
    let mut first_id = 0;
    for clients in &options.clients {
        let case = Case { members, work: Work::Put, clients: *clients, system };
        measurements.extend(runtime.block_on(all_works(options, &contestant, case, round, first_id))?);
        first_id += *clients as u64;
    }
    Ok(measurements)
}

/// Every work of the same clients, and at the end whether all they changed is there once.
async fn all_works(
    options: &KvOptions,
    contestant: &Contestant,
    case: Case,
    round: usize,
    first_id: u64,
) -> Result<Vec<Measurement>, KvError> {
    let works: &[Work] = match case.system {
        System::Cairn => &[Work::Put, Work::Get, Work::Append],
        System::Etcd => &[Work::Put, Work::Get],
    };
    let servers = contestant.processes();
    let clients = contestant.connect(case.clients).await?.into_iter();
    let mut workers: Vec<Worker> =
        clients.zip(first_id..).map(|(client, id)| Worker::new(client, id, options.value_bytes)).collect();
    let mut measurements = Vec::new();
    for work in works {
        let (worked, observation) = drive(workers, *work, options.measured, &servers).await?;
        let mut measurement = Measurement::new(Case { work: *work, ..case }, round, observation);
        let (checked, tally) = check_all(worked, *work).await?;
        measurement.count(tally);
        measurements.push(measurement);
        workers = checked;
    }
    Ok(measurements)
}

/// All workers check at once what they changed.
async fn check_all(workers: Vec<Worker>, work: Work) -> Result<(Vec<Worker>, Tally), KvError> {
    let mut running = JoinSet::new();
    for mut worker in workers {
        running.spawn(async move { worker.check(work).await.map(|tally| (worker, tally)) });
    }
    let (mut checked, mut sum) = (Vec::new(), Tally::default());
    while let Some(done) = running.join_next().await {
        let (worker, tally) = done.expect("a worker does not panic")?;
        checked.push(worker);
        sum.add(tally);
    }
    Ok((checked, sum))
}
