//! Goal: an elected master that is stopped for longer than its lease tells nobody anything stale when it goes on.

use std::time::{Duration, Instant};

use cairn_tests::direct_requests::{DirectKind, DirectOutcome, DirectRequest, DirectRequests};
use cairn_tests::file_load::FileLoad;
use cairn_tests::scale::Scale;
use cairn_tests::value_load::ValueLoad;
use cairn_tests::{ClusterOptions, DevCluster, Machine, Process, wait};
use nix::sys::signal::Signal;

const CLIENTS: u64 = 8;
/// From the stop to the first answer of another master: its lease must run out, and clients must lose patience with it.
const FAILOVER_LIMIT: Duration = Duration::from_secs(8);
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Stops that find the master without some kind of request; each is far shorter than its lease.
const STOP_ATTEMPTS: usize = 50;
/// Requests of each kind that the master must have refused.
const LEAST_REFUSED: usize = 20;

#[test]
fn an_elected_master_that_was_stopped_serves_nothing_stale_when_it_goes_on() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().nodes(1).layout("1+0"));
    let masters = cluster.addresses();
    let elected = cluster.elected();
    let load = ValueLoad::start(masters.clone(), CLIENTS);
    let files = FileLoad::start(&load, masters);
    let direct = DirectRequests::start(&load, &cluster.address(&elected));
    load.quiet();
    direct.wait_ended(500);

    let process = cluster.process(&elected);
    let stopped_at = stop_at_work(process, &direct);
    let pause = load.wait_service(stopped_at, FAILOVER_LIMIT);
    assert_ne!(cluster.elected(), elected);
    let goes_on = stopped_at + Scale::from_environment().stop_master;
    wait::until_true("it was stopped for long enough", Duration::from_mins(1), || Instant::now() >= goes_on);
    load.answers().require_load(Duration::from_secs(1));
    assert!(process.is_stopped(), "void: it was not stopped all the time");

    let goes_on_at = Instant::now();
    process.signal(Signal::SIGCONT);
    direct.wait_ended_of_each(goes_on_at, LEAST_REFUSED);
    let requests = direct.end(&load);
    files.end();
    let ended = load.end();
    println!("{} answers, a pause of {pause:?}; {} direct requests", ended.answers.count(), requests.len());
    check_direct(&requests, stopped_at, goes_on_at);
    ended.check();
}

/// Stops a master at a moment at which it has requests of each kind in hand.
#[track_caller]
fn stop_at_work(process: Process, direct: &DirectRequests) -> Instant {
    for _ in 0..STOP_ATTEMPTS {
        process.signal(Signal::SIGSTOP);
        process.wait_stopped(STOP_DEADLINE);
        let stopped_at = Instant::now();
        if direct.are_under_way_since(stopped_at) {
            return stopped_at;
        }
        process.signal(Signal::SIGCONT);
        direct.wait_ended(100);
    }
    panic!("void: never had the master a request of each kind in hand");
}

/// What the stopped master said itself. What it did say is in the history; from the stop on it says nothing but no,
/// because another one is elected.
#[track_caller]
fn check_direct(requests: &[DirectRequest], stopped_at: Instant, goes_on_at: Instant) {
    for kind in DirectKind::ALL {
        let of_kind = || requests.iter().filter(move |request| request.kind == kind);
        let served_before = of_kind().filter(|request| request.ended_at < stopped_at && served(request)).count();
        let in_flight =
            of_kind().filter(|request| request.sent_at < stopped_at && request.ended_at > goes_on_at).count();
        let since = || of_kind().filter(|request| request.sent_at >= stopped_at);
        let refused = since().filter(|request| matches!(request.outcome, DirectOutcome::Refused(_))).count();
        println!("{kind:?}: {served_before} served before the stop, {in_flight} in flight at it, {refused} refused");
        assert!(served_before > 0 && in_flight > 0 && refused >= LEAST_REFUSED, "void: {kind:?} was not under way");
        let stale = since().find(|request| served(request));
        assert!(stale.is_none(), "served although another master is elected: {stale:?}");
    }
}

fn served(request: &DirectRequest) -> bool {
    request.outcome == DirectOutcome::Served
}
