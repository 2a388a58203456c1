//! Goal: what was acknowledged is on the disk. The power is cut below the stores while they work; the same with syncs
//! turned off must lose something, or the test shows nothing.

use std::time::{Duration, Instant};

use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::blob_load::BlobLoad;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::power_cut_disk::PowerCutDisk;
use cairn_tests::scale::Scale;
use cairn_tests::value_load::ValueLoad;
use cairn_tests::vote_request::VoteRequester;
use cairn_tests::{Machine, Process, wait};
use rand::RngExt;

const CLIENTS: u64 = 8;
/// From the start of daemons that were cut off to the first answer. A damaged one does not come back.
const RETURN_DEADLINE: Duration = Duration::from_secs(30);
/// Cuts after which a run without syncs must have lost something.
const CONTROL_CUTS: u32 = 5;

#[test]
fn every_acknowledged_value_outlives_cuts_of_all_masters_at_once() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        let cuts = Scale::from_environment().power_cuts;
        cut_masters(3, Program::Cairn, cuts).unwrap_or_else(|loss| panic!("{loss}"));
    }
}

/// It writes its log by two threads in turn.
#[test]
fn every_acknowledged_value_outlives_cuts_of_a_master_that_is_alone() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        let cuts = Scale::from_environment().power_cuts;
        cut_masters(1, Program::Cairn, cuts).unwrap_or_else(|loss| panic!("{loss}"));
    }
}

#[test]
fn masters_that_sync_nothing_are_caught_by_the_same_cuts() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        for masters in [3, 1] {
            let loss = cut_masters(masters, Program::Unsynced, CONTROL_CUTS);
            println!("caught: {}", loss.expect_err("the cuts take what is not synced"));
        }
    }
}

/// Masters on one disk under clients that change and read values; says what was lost.
fn cut_masters(masters: u64, program: Program, cuts: u32) -> Result<(), String> {
    let mut cluster = BareCluster::of_masters(masters, "1+0", program).with_short_logs();
    let disk = PowerCutDisk::new(&cluster.disk());
    cluster.start_all();
    let load = ValueLoad::start(cluster.addresses(), CLIENTS);
    load.quiet();
    for cut in 0..cuts {
        load.wait_answers(rand::rng().random_range(50..300));
        load.answers().require_load(Duration::from_secs(1));
        let processes = cluster.processes();
        assert!(cut > 0 || processes.len() as u64 == masters, "void: a master ended before the first cut");
        if let Err(loss) = cut_and_return(&mut cluster, &disk, &load, &processes) {
            load.abandon();
            return Err(loss);
        }
    }
    let ended = load.end();
    let verdict = check(&ended.history.operations(), STEPS_LIMIT).map_err(|error| error.to_string());
    println!("{} requests answered; {} failed; {verdict:?}", ended.answers.count(), ended.failures.len());
    verdict?;
    if ended.failures.is_empty() { Ok(()) } else { Err(format!("requests failed: {:?}", ended.failures)) }
}

/// Cuts the power, and waits until the masters serve again; says why they do not.
fn cut_and_return(
    cluster: &mut BareCluster,
    disk: &PowerCutDisk,
    load: &ValueLoad,
    processes: &[Process],
) -> Result<(), String> {
    disk.cut(processes);
    let returned_at = Instant::now();
    cluster.start_all();
    let count = cluster.names().len();
    let outcome = wait::within(RETURN_DEADLINE, || {
        let ended = cluster.processes().len() < count;
        ended.then_some(Err("a master ended by itself")).or_else(|| load.answers().service_after(returned_at).map(Ok))
    });
    let serves = outcome.unwrap_or(Err("no master serves after the cut"));
    serves.map(drop).map_err(|why| format!("{why}: {}", cluster.last_words()))
}

#[test]
fn a_vote_that_was_granted_outlives_a_cut() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        cut_voter(Program::Cairn).unwrap_or_else(|loss| panic!("{loss}"));
    }
}

#[test]
fn a_voter_that_syncs_nothing_takes_its_vote_back() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        let loss = cut_voter(Program::Unsynced).expect_err("the cut takes a vote that is not synced");
        println!("caught: {loss}");
    }
}

/// One master votes for the third, is cut off, and is asked for the second in the same term. Votes of one term are ordered
/// by the candidate, so that one is lower.
fn cut_voter(program: Program) -> Result<(), String> {
    const TERM: u64 = 1_000_000;
    let mut cluster = BareCluster::of_masters(3, "1+0", program);
    let disk = PowerCutDisk::new(&cluster.disk());
    cluster.start_all();
    let load = ValueLoad::start(cluster.addresses(), CLIENTS);
    load.quiet();
    load.abandon();
    // Nobody leads any more, and nobody else asks for votes.
    cluster.kill("master-2");
    cluster.kill("master-3");
    let requester = VoteRequester::of(&cluster, 1);
    wait::until_true("the vote is granted", RETURN_DEADLINE, || requester.ask(3, TERM).is_ok_and(|vote| vote.granted));
    disk.cut(&cluster.processes());
    cluster.start("master-1");
    let answer = wait::within(RETURN_DEADLINE, || requester.ask(2, TERM).ok());
    let Some(answer) = answer else { return Err(format!("the voter does not come back: {}", cluster.last_words())) };
    let vote = answer.vote.unwrap_or_default();
    if answer.granted || (vote.term, vote.master) != (TERM, 3) {
        return Err(format!("in term {TERM} it voted for 3 and, after the cut, says {answer:?}"));
    }
    Ok(())
}

#[test]
fn every_sealed_blob_outlives_cuts_of_its_node() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        let cuts = Scale::from_environment().power_cuts;
        cut_node(Program::Cairn, cuts).unwrap_or_else(|loss| panic!("{loss}"));
    }
}

#[test]
fn a_node_that_syncs_nothing_is_caught_by_the_same_cuts() {
    if PowerCutDisk::is_usable() {
        let _machine = Machine::alone();
        let loss = cut_node(Program::Unsynced, CONTROL_CUTS).expect_err("the cuts take what is not synced");
        println!("caught: {loss}");
    }
}

/// Three masters that sync and a node on one disk, without any redundancy, under clients that write blobs small and
/// large; says what was lost.
fn cut_node(node: Program, cuts: u32) -> Result<(), String> {
    let mut cluster = BareCluster::of_masters(3, "1+0", Program::Cairn);
    cluster.add_node("node-1", node);
    let disk = PowerCutDisk::new(&cluster.disk());
    for _ in 0..cuts {
        cluster.start_all();
        let load = BlobLoad::start(cluster.addresses());
        load.run_until(rand::rng().random_range(40..160));
        println!("{:.0} blobs a second", load.rate());
        disk.cut(&cluster.processes());
        let committed = load.abandon();
        cluster.start_all();
        let read = committed.read_all(&cluster.addresses(), RETURN_DEADLINE);
        println!("{} blobs committed, {} bytes: {read:?}", committed.count(), committed.bytes());
        read.map_err(|loss| format!("{loss}; {}", cluster.last_words()))?;
        for process in cluster.processes() {
            process.kill();
        }
    }
    Ok(())
}
