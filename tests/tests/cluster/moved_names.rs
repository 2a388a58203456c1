//! Goal: masters are found by name, also when the names move to other addresses.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use cairn_tests::bare_cluster::{BareCluster, Program};
use cairn_tests::binary::cairn_program;
use cairn_tests::own_hosts::OwnHosts;
use cairn_tests::value_load::ValueLoad;
use cairn_tests::{ForegroundDaemon, Machine, wait};

const CLIENTS: u64 = 4;
const MASTERS: u8 = 3;
/// All masters by one name.
const GROUP: &str = "masters.cairn.test";
/// From a move to the answer of a request that was sent after it.
const SERVICE_LIMIT: Duration = Duration::from_secs(15);
const COMMAND_DEADLINE: Duration = Duration::from_secs(30);

/// Where each master is now: the last byte of its address.
type Places = [u8; MASTERS as usize];

#[test]
fn clients_and_masters_follow_names_that_move_to_other_addresses() {
    let _machine = Machine::alone();
    OwnHosts::with(|hosts| {
        let port = free_port();
        let mut places: Places = [1, 2, 3];
        hosts.set(&names(places));
        let member = |id: u64| (id, format!("{}:{port}", own_name(id)));
        let listen = |id: u64, places: Places| format!("{}:{port}", address(places[usize::try_from(id - 1).unwrap()]));
        let ids = 1..=u64::from(MASTERS);
        let listening: Vec<_> = ids.clone().map(|id| (id, listen(id, places))).collect();
        let members = ids.clone().map(member).collect();
        let mut cluster = BareCluster::with_members(members, &listening, "1+0", Program::Cairn);
        cluster.start_all();
        let group = format!("{GROUP}:{port}");
        let load = ValueLoad::start(vec![group.clone()], CLIENTS);
        load.quiet();
        for id in ids {
            load.answers().require_load(Duration::from_secs(1));
            cluster.kill(&format!("master-{id}"));
            places[usize::try_from(id - 1).unwrap()] += 10;
            hosts.set(&names(places));
            cluster.set_listen(id, &listen(id, places));
            let moved_at = Instant::now();
            cluster.start(&format!("master-{id}"));
            // Once the second one has moved, no majority is where it was.
            println!("master {id} moved: served after {:?}", load.wait_service(moved_at, SERVICE_LIMIT));
            load.wait_answers(300);
        }
        let key = load.current_keys().pick();
        load.end().check();
        a_command_waits_for_a_name_to_move(hosts, &cluster, &group, key.as_str(), places);
    });
}

/// A client that has never met a master: it has nothing but the name.
fn a_command_waits_for_a_name_to_move(hosts: &OwnHosts, cluster: &BareCluster, group: &str, key: &str, places: Places) {
    let nowhere = places.map(|place| place + 10);
    hosts.set(&names(nowhere));
    let log = cluster.root().join("command.log");
    let mut command = ForegroundDaemon::of(&cairn_program(), &["kv", "get", "--masters", group, key], &log);
    wait::until_true("the command finds nobody", COMMAND_DEADLINE, || {
        assert_eq!(command.ended(), None, "void: it ended before the name moved: {}", command.said());
        command.said().contains("no elected master yet")
    });
    hosts.set(&names(places));
    let status = command.wait_end(COMMAND_DEADLINE);
    assert!(status.success(), "{status}: {}", command.said());
}

fn own_name(id: u64) -> String {
    format!("master-{id}.cairn.test")
}

fn address(place: u8) -> String {
    format!("127.77.0.{place}")
}

/// Every master by a name of its own, and all by one.
fn names(places: Places) -> Vec<(String, String)> {
    let own = (1..).zip(places).map(|(id, place)| (own_name(id), address(place)));
    own.chain(places.map(|place| (GROUP.to_owned(), address(place)))).collect()
}

/// Nobody else uses these addresses, so what is free at one is free at all.
fn free_port() -> u16 {
    TcpListener::bind((address(1), 0)).unwrap().local_addr().unwrap().port()
}
