//! Goal: a cluster over three datacenters reads next to home, writes each copy across once, and bears the loss of one.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cairn_tests::bare_cluster::folder_on_disk;
use cairn_tests::binary::cairn_program;
use cairn_tests::datacenters::{Datacenters, Traffic};
use cairn_tests::status::{ClusterStatus, KeyStatus};
use cairn_tests::workload::{SourceFile, random_file, sum_of_bytes, tree};
use cairn_tests::{COMMAND_DEADLINE, Finished, ForegroundDaemon, Machine, tools, wait};
use tempfile::TempDir;

const DATACENTERS: usize = 3;
const FILE_BYTES: u64 = 32 << 20;
/// Heartbeats, elections and look-ups, and what packets carry besides bytes of files.
const CONTROL_BYTES: u64 = FILE_BYTES / 16;
/// From the start of all daemons, or the return of a datacenter, until every node serves.
const ACTIVE_DEADLINE: Duration = Duration::from_mins(1);

/// A master and some nodes in each datacenter.
struct Spread {
    // In this order: daemons end before their networks and folders go.
    daemons: Vec<ForegroundDaemon>,
    datacenters: Datacenters,
    nodes: usize,
    root: TempDir,
}

impl Spread {
    fn start(layout: &str, nodes_each: usize) -> Self {
        let (datacenters, root) = (Datacenters::new(DATACENTERS), folder_on_disk());
        let mut spread = Self { daemons: Vec::new(), datacenters, nodes: nodes_each * DATACENTERS, root };
        for number in spread.datacenters.numbers() {
            spread.start_daemon(number, "master", &format!("master-{number}"), &spread.master(number, layout));
            for node in 1..=nodes_each {
                let name = format!("node-{number}-{node}");
                spread.start_daemon(number, "node", &name, &spread.node(number, node));
            }
        }
        spread.wait_active();
        spread
    }

    fn start_daemon(&mut self, number: usize, kind: &str, name: &str, config: &str) {
        let file = self.root.path().join(format!("{name}.toml"));
        let dir = self.folder(name);
        let config = format!("name = {name:?}\ndir = \"{}\"\ninsecure = true\n{config}", dir.display());
        fs::write(&file, config).unwrap();
        let arguments = [kind, "--config", file.to_str().unwrap()];
        let daemon = self.datacenters.daemon(number, &cairn_program(), &arguments, &file.with_extension("log"));
        self.daemons.push(daemon);
    }

    fn master(&self, number: usize, layout: &str) -> String {
        let listen = format!("{}:7001", self.datacenters.address(number));
        let mut config = format!("id = {number}\nlisten = {listen:?}\nlayout = {layout:?}\n");
        for (id, address) in (1..).zip(self.addresses()) {
            write!(config, "[[members]]\nid = {id}\nname = \"master-{id}\"\naddress = {address:?}\n").unwrap();
        }
        config
    }

    fn node(&self, number: usize, node: usize) -> String {
        let listen = format!("{}:{}", self.datacenters.address(number), 7100 + node);
        format!("listen = {listen:?}\nmasters = {:?}\nlocality = [\"dc={number}\"]\n", self.addresses())
    }

    fn addresses(&self) -> Vec<String> {
        self.datacenters.numbers().map(|number| format!("{}:7001", self.datacenters.address(number))).collect()
    }

    /// `cairn` in a datacenter, which it knows.
    fn run(&self, number: usize, arguments: &[&str]) -> Finished {
        let mut command = self.datacenters.command(number, &cairn_program());
        command.args(arguments).env("CAIRN_MASTERS", self.addresses().join(","));
        Finished::of(command.env("CAIRN_LOCALITY", format!("dc={number}")), COMMAND_DEADLINE)
    }

    #[track_caller]
    fn put(&self, number: usize, file: &SourceFile) {
        self.run(number, &["put", file.path.to_str().unwrap(), &file.name]).expect_success();
    }

    #[track_caller]
    fn assert_reads(&self, number: usize, file: &SourceFile) {
        let got = self.run(number, &["get", &file.name, "-"]).expect_success();
        assert!(sum_of_bytes(&got.stdout) == file.sum, "{} read in datacenter {number} differs", file.name);
    }

    /// What the cluster says of the loss of a whole datacenter: how many there are, and the blobs that do not bear it.
    #[track_caller]
    fn endangered(&self, number: usize) -> (u64, u64) {
        let status = self.run(number, &["status", "--json"]).expect_success().json::<ClusterStatus>();
        let level = status.failure_domains.iter().find(|level| level.level == "dc").expect("nodes have this label");
        (level.domains, level.endangered_blobs)
    }

    #[track_caller]
    fn wait_active(&self) {
        wait::until_true("every node is active", ACTIVE_DEADLINE, || {
            let answer = self.run(1, &["status", "--json"]);
            answer.succeeded() && {
                let nodes = answer.json::<ClusterStatus>().nodes;
                nodes.iter().filter(|node| node.state == "active").count() == self.nodes
            }
        });
    }

    fn traffic(&self) -> Vec<Traffic> {
        self.datacenters.numbers().map(|number| self.datacenters.traffic(number)).collect()
    }

    /// What passed each link during some work.
    fn traffic_of(&self, work: impl FnOnce()) -> Vec<Traffic> {
        let before = self.traffic();
        work();
        self.traffic().into_iter().zip(before).map(|(after, before)| after.since(before)).collect()
    }

    fn folder(&self, name: &str) -> std::path::PathBuf {
        let folder = self.root.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        folder
    }
}

fn one_file(folder: &Path) -> SourceFile {
    random_file(folder, "file", FILE_BYTES, 1)
}

#[test]
fn copies_cross_once_when_written_and_never_when_read_next_to_one() {
    if !Datacenters::are_possible() {
        return;
    }
    let _machine = Machine::shared();
    tools::assert_installed("ip");
    let spread = Spread::start("1+2", 1);
    let file = one_file(&spread.folder("source"));
    let written = spread.traffic_of(|| spread.put(1, &file));
    let copies = |copies: u64| copies * FILE_BYTES..copies * (FILE_BYTES + CONTROL_BYTES);
    assert!(copies(2).contains(&written[0].sent_bytes), "{written:?}");
    for remote in &written[1..] {
        assert!(copies(1).contains(&remote.received_bytes), "{written:?}");
        assert!(remote.sent_bytes < CONTROL_BYTES, "{written:?}");
    }
    for number in spread.datacenters.numbers() {
        let read = spread.traffic_of(|| spread.assert_reads(number, &file));
        let crossed: u64 = read.iter().map(|traffic| traffic.sent_bytes).sum();
        assert!(crossed < CONTROL_BYTES, "read in datacenter {number}: {read:?}");
    }
}

#[test]
fn two_copies_in_a_remote_datacenter_cross_into_it_once() {
    if !Datacenters::are_possible() {
        return;
    }
    let _machine = Machine::shared();
    tools::assert_installed("ip");
    let spread = Spread::start("1+5", 2);
    let file = one_file(&spread.folder("source"));
    let written = spread.traffic_of(|| spread.put(1, &file));
    let one_copy = FILE_BYTES..FILE_BYTES + CONTROL_BYTES;
    for remote in &written[1..] {
        assert!(one_copy.contains(&remote.received_bytes), "{written:?}");
        assert!(remote.sent_bytes < CONTROL_BYTES, "{written:?}");
    }
    let stat = spread.run(1, &["stat", "--json", &file.name]).expect_success().text();
    assert_eq!(stat.matches("\"ok\"").count(), 6, "{stat}");
    // The copies of the writer's datacenter and one remote one are gone.
    spread.datacenters.set_connected(2, false);
    wait::until_true("the other two elect a master", COMMAND_DEADLINE, || {
        spread.run(3, &["stat", &file.name]).succeeded()
    });
    spread.assert_reads(3, &file);
}

#[test]
fn everything_reads_while_any_one_datacenter_is_cut_off() {
    if !Datacenters::are_possible() {
        return;
    }
    let _machine = Machine::shared();
    tools::assert_installed("ip");
    let spread = Spread::start("4+2", 2);
    let files = tree(&spread.folder("source"), 14, 1);
    for file in &files {
        spread.put(1, file);
    }
    assert_eq!(spread.endangered(1), (3, 0));
    for lost in spread.datacenters.numbers() {
        let reader = lost % DATACENTERS + 1;
        spread.datacenters.set_connected(lost, false);
        wait::until_true("the other two elect a master", COMMAND_DEADLINE, || {
            spread.run(reader, &["stat", &files[0].name]).succeeded()
        });
        for file in &files {
            spread.assert_reads(reader, file);
        }
        spread.datacenters.set_connected(lost, true);
        spread.wait_active();
    }
}

#[test]
fn a_layout_that_does_not_bear_the_loss_of_a_datacenter_says_so_before_and_names_what_is_lost() {
    if !Datacenters::are_possible() {
        return;
    }
    let _machine = Machine::shared();
    tools::assert_installed("ip");
    // Five chunks over three datacenters: one of them has two, and one may be lost.
    let spread = Spread::start("4+1", 2);
    let file = one_file(&spread.folder("source"));
    spread.put(1, &file);
    assert_eq!(spread.endangered(1), (3, 1));
    let lost = spread.datacenters.numbers().find(|number| {
        let others = spread.datacenters.numbers().find(|other| other != number).expect("there are three");
        let shown = spread.run(others, &["stat", &file.name, "--json"]).expect_success().json::<KeyStatus>();
        let here = format!("node-{number}-");
        shown.chunks.iter().filter(|chunk| chunk.node.as_ref().is_some_and(|node| node.starts_with(&here))).count() == 2
    });
    let lost = lost.expect("one keeps two chunks");
    let reader = lost % DATACENTERS + 1;
    spread.datacenters.set_connected(lost, false);
    wait::until_true("the cluster says that it is lost", ACTIVE_DEADLINE, || {
        let answer = spread.run(reader, &["status", "--json"]);
        answer.succeeded() && answer.json::<ClusterStatus>().lost_keys == [file.name.clone()]
    });
    spread.datacenters.set_connected(lost, true);
    spread.wait_active();
    spread.assert_reads(reader, &file);
}
