//! Goal: two of five masters that are killed again and again cost clients a pause, and no answer.

use std::time::{Duration, Instant};

use cairn_tests::scale::Scale;
use cairn_tests::value_load::ValueLoad;
use cairn_tests::{ClusterOptions, DevCluster, Machine, Process};
use nix::sys::signal::Signal;
use rand::RngExt;
use rand::seq::IndexedRandom;

const CLIENTS: u64 = 8;
/// From a kill to the answer of a request that was sent after it.
const SERVICE_LIMIT: Duration = Duration::from_secs(5);
/// From SIGKILL to the end of a process.
const END_DEADLINE: Duration = Duration::from_secs(20);

#[test]
fn no_answer_is_lost_doubled_or_stale_while_two_of_five_masters_are_killed_again_and_again() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().masters(5).nodes(1).layout("1+0"));
    let load = ValueLoad::start(cluster.addresses(), CLIENTS);
    load.quiet();
    let end = Instant::now() + Scale::from_environment().kill_masters;
    let mut pauses = Vec::new();
    while Instant::now() < end {
        // The first time the elected master is one of them; later, whoever it is.
        let elected = pauses.is_empty().then(|| cluster.elected());
        let victims = two_masters(&cluster, elected);
        load.answers().require_load(Duration::from_secs(1));
        pauses.push(kill(&cluster, &load, &victims));
        for victim in &victims {
            cluster.dev_start(victim).expect_success();
        }
        load.wait_answers(rand::rng().random_range(300..900));
    }
    let ended = load.end();
    println!("{} answers; {} times two were killed; pauses {pauses:?}", ended.answers.count(), pauses.len());
    ended.check();
    assert!(ended.answers.longest_gap() < SERVICE_LIMIT, "no answer for {:?}", ended.answers.longest_gap());
}

fn two_masters(cluster: &DevCluster, first: Option<String>) -> Vec<String> {
    let names = cluster.master_names();
    let mut chosen: Vec<String> = names.sample(&mut rand::rng(), 2).cloned().collect();
    if let Some(first) = first.filter(|first| !chosen.contains(first)) {
        chosen[0] = first;
    }
    chosen
}

/// Kills them at once and waits until clients are served again; returns how long that took.
#[track_caller]
fn kill(cluster: &DevCluster, load: &ValueLoad, victims: &[String]) -> Duration {
    let processes: Vec<Process> = victims.iter().map(|victim| cluster.process(victim)).collect();
    let killed_at = Instant::now();
    for process in &processes {
        process.signal(Signal::SIGKILL);
    }
    for process in &processes {
        process.wait_gone(END_DEADLINE);
    }
    load.wait_service(killed_at, SERVICE_LIMIT)
}
