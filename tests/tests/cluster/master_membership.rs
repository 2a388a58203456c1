//! Goal: masters come and go while the cluster works, and one that is gone stays gone.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use cairn_tests::{ClusterOptions, DevCluster, ForegroundDaemon, Machine, wait, workload};
use serde::Deserialize;

/// From a request to the end of a daemon that must not run.
const END_DEADLINE: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
struct MasterLine {
    id: u64,
    address: String,
    role: String,
}

#[derive(Debug, Deserialize)]
struct Leader {
    address: String,
}

/// Starts a fourth master that waits to be added.
fn start_fourth(cluster: &DevCluster) -> (ForegroundDaemon, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let join: Vec<&str> = cluster.masters().split(',').collect();
    let config = format!(
        "id = 4\nname = \"master-4\"\ndir = \"{}\"\nlisten = {address:?}\njoin = {join:?}\n",
        cluster.data("master-4").display()
    );
    let file = cluster.dir().join("config/master-4.toml");
    fs::write(&file, config).unwrap();
    let log = cluster.dir().join("log/master-4.log");
    (ForegroundDaemon::start(&["master", "--config", file.to_str().unwrap()], &log), address)
}

fn masters(cluster: &DevCluster) -> Vec<MasterLine> {
    cluster.run(&["master", "list", "--json"]).expect_success().json()
}

#[test]
fn a_dead_master_is_replaced_online_and_refused_when_it_comes_back() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default());
    let files = workload::tree(&cluster.folder("tree"), 5, 5);
    let elected = cluster.elected();
    let dead = cluster.master_names().into_iter().find(|name| *name != elected).unwrap();
    let dead_id = dead.rsplit_once('-').unwrap().1.to_owned();
    let put = |number: usize| {
        cluster.run(&["put", files[number].path.to_str().unwrap(), &files[number].name]).expect_success();
    };
    put(0);
    cluster.kill(&dead);

    let (_fourth, address) = start_fourth(&cluster);
    let added: MasterLine = cluster.run(&["master", "add", &address, "--json"]).expect_success().json();
    assert_eq!((added.id, added.role.as_str(), added.address.as_str()), (4, "voter", address.as_str()));
    put(1);
    cluster.run(&["master", "remove", &dead_id]).expect_success();
    let left = masters(&cluster);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.iter().all(|line| line.role == "voter" && line.id.to_string() != dead_id), "{left:?}");

    // It may end before `cairn dev start` has seen it serve.
    let started = cluster.dev_start(&dead);
    wait::until_true("the removed master is told and ends", END_DEADLINE, || {
        let daemons = cluster.daemons();
        cluster.log(&dead).contains("was removed")
            && daemons.iter().all(|daemon| daemon.name != dead || daemon.pid.is_none())
    });
    println!("{started}");
    put(2);

    cluster.run(&["master", "transfer-leader", "4"]).expect_success();
    let leader: Leader = cluster.run(&["master", "leader", "--json"]).expect_success().json();
    assert_eq!(leader.address, address);
    put(3);
    for file in files.iter().take(4) {
        let read = cluster.run(&["cat", &file.name]).expect_success();
        assert_eq!(read.stdout, fs::read(&file.path).unwrap(), "{}", file.name);
    }
    let again = cluster.run(&["master", "add", &cluster.address(&dead)]).expect_failure();
    assert!(again.stderr.contains("no master answers"), "{again}");
}
