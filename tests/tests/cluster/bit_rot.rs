//! Goal: bits that flip on disks are found by one scrub, wherever they are, and put right from other nodes; nobody reads a
//! wrong byte meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_tests::scale::Scale;
use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, Machine, tools, wait, workload};
use serde::Deserialize;

/// Until all that was found is put right, on a machine that has other work too.
const REPAIR_DEADLINE: Duration = Duration::from_mins(8);
/// As many nodes as every blob may lose.
const DAMAGED: [&str; 2] = ["node-2", "node-5"];
/// Files of a few cells; above what the masters keep.
const FILES: u64 = 40;
const FILE_BYTES: u64 = 150_000;
/// Files of less than a cell.
const TINY_FILES: u64 = 60;
const TINY_FILE_BYTES: u64 = 5_000;
/// Large enough for tables of its own on every node.
const BIG_FILE_BYTES: u64 = 96 << 20;

/// Bits that flip in tables of any size alike, so that small ones are met too.
const FLIPS_BY_TABLE: usize = 6;

#[derive(Debug, Deserialize)]
struct ScrubStatus {
    nodes: Vec<NodeScrub>,
}

#[derive(Debug, Deserialize)]
struct NodeScrub {
    name: String,
    state: String,
    full_passes: u64,
    found_chunks: u64,
    unrepaired_chunks: u64,
    damaged_records: String,
}

#[derive(Debug, Deserialize)]
struct HealStatus {
    pending: u64,
    rebuilt_chunks: u64,
}

fn cluster_with_files() -> (DevCluster, Vec<SourceFile>) {
    let cluster = DevCluster::start(ClusterOptions::default());
    let source = cluster.folder("source");
    let file = |name: String, size_bytes, seed| workload::random_file(&source, &name, size_bytes, seed);
    let mut files: Vec<SourceFile> =
        (0..FILES).map(|number| file(format!("file-{number}"), FILE_BYTES + number, number)).collect();
    files.extend((0..TINY_FILES).map(|number| file(format!("tiny-{number}"), TINY_FILE_BYTES + number, 1000 + number)));
    files.push(file("big".to_owned(), BIG_FILE_BYTES, 99));
    for file in &files {
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    }
    (cluster, files)
}

/// Puts what nodes have in their logs into tables: a start does.
fn settle(cluster: &DevCluster, names: &[&str]) {
    for name in names {
        cluster.dev_kill(name).expect_success();
        cluster.revive(&[*name]);
    }
}

fn tables(cluster: &DevCluster, node: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(cluster.data(node).join("db")).unwrap().map(|file| file.unwrap().path());
    let mut tables: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "sst")).collect();
    tables.sort();
    tables
}

fn flip(path: &Path, bit: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
}

/// Flips bits anywhere in the tables of the nodes: a few where every table is as likely as any other, and `count` where every
/// bit is.
fn flip_bits(cluster: &DevCluster, nodes: &[&str], count: u32) {
    let tables: Vec<(PathBuf, u64)> = nodes
        .iter()
        .flat_map(|node| tables(cluster, node))
        .map(|path| (path.clone(), fs::metadata(&path).unwrap().len() * 8))
        .collect();
    let bits: u64 = tables.iter().map(|(_, bits)| bits).sum();
    let numbers = workload::random_bytes(7, (FLIPS_BY_TABLE + count as usize) * 8);
    for (flipped, number) in numbers.chunks_exact(8).enumerate() {
        let number = u64::from_le_bytes(number.try_into().unwrap());
        if flipped < FLIPS_BY_TABLE {
            let (path, bits) = &tables[(number >> 48) as usize % tables.len()];
            flip(path, number % bits);
            continue;
        }
        let mut bit = number % bits;
        let (path, _) = tables
            .iter()
            .find(|(_, bits)| {
                let here = bit < *bits;
                bit -= if here { 0 } else { *bits };
                here
            })
            .unwrap();
        flip(path, bit);
    }
}

fn scrub_status(cluster: &DevCluster) -> Vec<NodeScrub> {
    cluster.run(&["scrub", "status", "--json"]).expect_success().json::<ScrubStatus>().nodes
}

/// Does what a node says that is to be done where its own records are damaged, and starts one that ended itself. `true`:
/// something was to be done.
fn follow_advice(cluster: &DevCluster, node: &NodeScrub) -> bool {
    if node.damaged_records.is_empty() {
        let daemons = cluster.daemons();
        if daemons.iter().any(|daemon| daemon.name == node.name && daemon.pid.is_none()) {
            println!("{} is started again", node.name);
            cluster.revive(&[node.name.as_str()]);
            cluster.run(&["scrub", "start", &node.name]).expect_success();
            return true;
        }
        return false;
    }
    println!("{}: {}", node.name, node.damaged_records);
    assert!(node.damaged_records.contains("remove the folder `db`"), "{}", node.damaged_records);
    cluster.kill(&node.name);
    fs::remove_dir_all(cluster.data(&node.name).join("db")).unwrap();
    cluster.revive(&[node.name.as_str()]);
    cluster.run(&["scrub", "start", &node.name]).expect_success();
    true
}

/// Has every node verify all, and waits until what was found is put right. Answers how much was found since the start, and
/// whether a node had to be started again, which counts anew.
fn scrub(cluster: &DevCluster, meanwhile: impl Fn()) -> (u64, bool) {
    let mut advised = false;
    let before: BTreeMap<String, u64> =
        scrub_status(cluster).into_iter().map(|node| (node.name, node.full_passes)).collect();
    cluster.run(&["scrub", "start"]).expect_success();
    meanwhile();
    let found = wait::until("all is verified and put right", REPAIR_DEADLINE, || {
        let nodes = scrub_status(cluster);
        for node in &nodes {
            advised |= follow_advice(cluster, node);
        }
        let heal: HealStatus = cluster.run(&["heal", "status", "--json"]).expect_success().json();
        // A process that began since counts anew.
        let has_passed = |node: &NodeScrub| node.full_passes > 0 && node.full_passes != before[&node.name];
        let is_done = |node: &NodeScrub| node.state == "waiting" && has_passed(node) && node.unrepaired_chunks == 0;
        (heal.pending == 0 && nodes.iter().all(is_done)).then(|| nodes.iter().map(|node| node.found_chunks).sum())
    });
    (found, advised)
}

fn assert_all_got(cluster: &DevCluster, files: &[SourceFile]) {
    for file in files {
        tools::assert_got(cluster, file);
    }
}

#[test]
fn bits_that_flip_on_as_many_nodes_as_a_blob_may_lose_are_found_and_put_right_by_one_scrub() {
    let _machine = Machine::shared();
    let (cluster, files) = cluster_with_files();
    settle(&cluster, &DAMAGED);
    flip_bits(&cluster, &DAMAGED, Scale::from_environment().bit_flips);
    let (found, advised) = scrub(&cluster, || assert_all_got(&cluster, &files));
    println!("{found} chunks were damaged");
    assert!(found > 0 || advised);
    assert_all_got(&cluster, &files);
    assert_eq!(scrub(&cluster, || ()), (found, false), "a second scrub finds nothing more");
    settle(&cluster, &DAMAGED);
    // What was put right carries the blobs now.
    for name in ["node-1", "node-3"] {
        cluster.kill(name);
    }
    assert_all_got(&cluster, &files);
}

#[test]
fn a_node_whose_manifest_or_current_is_damaged_refuses_to_start_and_the_cluster_repairs_round_it() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default().nodes(7));
    let source = cluster.folder("source");
    let files: Vec<SourceFile> = (0..20)
        .map(|number| workload::random_file(&source, &format!("file-{number}"), FILE_BYTES + number, number))
        .collect();
    for file in &files {
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    }
    cluster.dev_kill("node-4").expect_success();
    let database = cluster.data("node-4").join("db");
    let current = fs::read_to_string(database.join("CURRENT")).unwrap();
    let manifest = database.join(current.trim_end());
    let half = |path: &Path| fs::metadata(path).unwrap().len() * 4;
    for damaged in [&manifest, &database.join("CURRENT")] {
        flip(damaged, half(damaged));
        let log_before = cluster.log("node-4").len();
        let answer = cluster.dev_start("node-4").expect_failure();
        let said = format!("{}{}", answer.stderr, &cluster.log("node-4")[log_before..]);
        assert!(said.contains("remove it to have the node join again"), "the next step is not named: {said}");
        flip(damaged, half(damaged));
    }
    flip(&manifest, half(&manifest));
    wait::until_true("what it kept is made on the others", REPAIR_DEADLINE, || {
        let status: serde_json::Value = cluster.run(&["status", "--json"]).expect_success().json();
        let heal: HealStatus = cluster.run(&["heal", "status", "--json"]).expect_success().json();
        let whole = status["redundancy"]["2"].as_u64() == Some(files.len() as u64);
        heal.rebuilt_chunks > 0 && whole && status["pending_repairs"].as_u64() == Some(0) && heal.pending == 0
    });
    assert_all_got(&cluster, &files);
}
