//! Goal: masters come and go while the cluster works, and one that is gone stays gone.

use std::fs;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use cairn_proto::transport::HeldAddress;
use cairn_tests::value_load::ValueLoad;
use cairn_tests::{ClusterOptions, DevCluster, ForegroundDaemon, Machine, wait, workload};
use rand::RngExt;
use serde::Deserialize;

/// From a request to the end of a daemon that must not run.
const END_DEADLINE: Duration = Duration::from_secs(30);
/// In which a change that was interrupted is made when it is asked for again.
const CHANGE_DEADLINE: Duration = Duration::from_mins(1);
/// From a kill to the answer of a request that was sent after it.
const SERVICE_LIMIT: Duration = Duration::from_secs(5);
/// From the start of the command to the kill, at most: commands and changes take tens of milliseconds.
const KILLED_WITHIN_MS: u64 = 150;
const CLIENTS: u64 = 8;

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

/// Starts a fourth master that waits to be added, and listens.
fn start_fourth(cluster: &DevCluster) -> (ForegroundDaemon, HeldAddress) {
    let held = HeldAddress::on_loopback().unwrap();
    let address = held.address();
    let join: Vec<&str> = cluster.masters().split(',').collect();
    let config = format!(
        "id = 4\nname = \"master-4\"\ndir = \"{}\"\nlisten = \"{address}\"\njoin = {join:?}\n",
        cluster.data("master-4").display()
    );
    fs::write(cluster.dir().join("config/master-4.toml"), config).unwrap();
    let fourth = run_fourth(cluster);
    wait::until_true("the fourth master listens", END_DEADLINE, || TcpStream::connect(address).is_ok());
    (fourth, held)
}

/// Starts it, for the first time or again.
fn run_fourth(cluster: &DevCluster) -> ForegroundDaemon {
    let file = cluster.dir().join("config/master-4.toml");
    let log = cluster.dir().join("log/master-4.log");
    ForegroundDaemon::start(&["master", "--config", file.to_str().unwrap()], &log)
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

    let (_fourth, held) = start_fourth(&cluster);
    let address = held.address().to_string();
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

/// A group under load whose elected master is killed somewhere in each change.
struct Changed<'c> {
    cluster: &'c DevCluster,
    load: &'c ValueLoad,
    fourth: ForegroundDaemon,
}

impl Changed<'_> {
    /// Asks for a change, kills the elected master meanwhile and starts it again, and asks until the change is made.
    fn change(&mut self, arguments: &[&str]) {
        self.load.answers().require_load(Duration::from_secs(1));
        let elected = self.cluster.elected();
        let (cluster, load) = (self.cluster, self.load);
        let fourth = self.fourth.process();
        std::thread::scope(|scope| {
            let asked = scope.spawn(move || println!("{}", cluster.run(arguments)));
            let moment = Instant::now() + Duration::from_millis(rand::rng().random_range(0..KILLED_WITHIN_MS));
            wait::until_true("the change is under way", SERVICE_LIMIT, || Instant::now() >= moment);
            println!("{arguments:?}: {} before the kill", if asked.is_finished() { "answered" } else { "under way" });
            let killed_at = Instant::now();
            if elected == "master-4" {
                fourth.kill();
            } else {
                cluster.kill(&elected);
            }
            println!("{arguments:?}: {elected} killed, served after {:?}", load.wait_service(killed_at, SERVICE_LIMIT));
        });
        if elected == "master-4" {
            self.fourth = run_fourth(self.cluster);
        } else {
            println!("{}", self.cluster.dev_start(&elected));
        }
        wait::until_true(&format!("{arguments:?}"), CHANGE_DEADLINE, || self.cluster.run(arguments).succeeded());
        self.load.wait_answers(300);
    }
}

#[test]
fn a_group_that_is_changed_under_load_while_its_elected_master_is_killed_answers_rightly() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().nodes(1).layout("1+0"));
    let load = ValueLoad::start(cluster.addresses(), CLIENTS);
    load.quiet();
    let (fourth, held) = start_fourth(&cluster);
    let mut changed = Changed { cluster: &cluster, load: &load, fourth };
    changed.change(&["master", "add", &held.address().to_string()]);
    let elected = cluster.elected();
    let leaving = cluster.master_names().into_iter().find(|name| *name != elected).unwrap();
    let leaving_id = leaving.rsplit_once('-').unwrap().1.to_owned();
    changed.change(&["master", "remove", &leaving_id]);
    wait::until_true("the removed master ends", END_DEADLINE, || cluster.log(&leaving).contains("was removed"));
    changed.change(&["master", "transfer-leader", "4"]);
    let left = masters(&cluster);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.iter().all(|line| line.role == "voter" && line.id.to_string() != leaving_id), "{left:?}");
    let ended = load.end();
    println!("{} answers, longest pause {:?}", ended.answers.count(), ended.answers.longest_gap());
    ended.check();
}
