//! What it takes to rebuild what a node kept: how fast it goes, and what is read and written for each byte.

mod report;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use std::{fs, io};

use serde::Deserialize;

use super::processor_time;
use crate::process::Process;
use crate::{ClusterOptions, DevCluster, wait, workload};
pub use report::RepairReport;

/// Nodes; one more than a segment of 4+2 takes.
const NODES: usize = 7;
/// Nodes whose data is deleted, one after the other.
const LOST: [&str; 3] = ["node-2", "node-5", "node-7"];
/// Bytes of the small files, above what masters keep.
const SMALL_FILE_BYTES: u64 = 300 << 10;
/// From a loss until all is whole again.
const HEAL_DEADLINE: Duration = Duration::from_mins(30);

/// What is stored before nodes are lost.
#[derive(Debug, Clone, Copy)]
pub struct RepairOptions {
    /// Files of 1 GiB.
    pub big_files: u32,
    /// Files of 300 KiB.
    pub small_files: u32,
}

/// Figures of one lost node.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct RepairFigures {
    /// The node.
    pub node: String,
    /// From its return without data to the first chunk under way.
    pub begun_s: f64,
    /// From then until every blob was whole.
    pub healed_s: f64,
    /// Chunks made.
    pub chunks: u64,
    /// Bytes made.
    pub rebuilt_mib: f64,
    /// Bytes made a second.
    pub mib_a_second: f64,
    /// Bytes read from nodes for each byte made.
    pub read_per_byte: f64,
    /// Bytes that all nodes wrote to disk for each byte made.
    pub written_per_byte: f64,
    /// Processor time of all daemons for each GiB made, whatever else the machine did.
    pub processor_s_per_gib: f64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A file could not be made or removed, or `/proc` not be read.
    #[error(transparent)]
    System(#[from] io::Error),
}

#[derive(Debug, Deserialize)]
struct HealStatus {
    pending: u64,
    rebuilt_chunks: u64,
    rebuilt_bytes: u64,
    read_bytes: u64,
    items: Vec<HealItem>,
}

#[derive(Debug, Deserialize)]
struct HealItem {
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Redundancy {
    redundancy: BTreeMap<String, u64>,
}

/// Measures a new dev cluster that loses the data of three of its nodes in turn.
pub fn measure_repairs(
    options: RepairOptions,
    tell: &mut dyn FnMut(&RepairFigures),
) -> Result<RepairReport, RepairError> {
    let cluster = DevCluster::start(ClusterOptions::default().nodes(NODES));
    store_files(&cluster, options)?;
    let mut figures = Vec::new();
    for node in LOST {
        let measured = measure_loss(&cluster, node)?;
        tell(&measured);
        figures.push(measured);
    }
    Ok(RepairReport::new(figures))
}

fn store_files(cluster: &DevCluster, options: RepairOptions) -> Result<(), RepairError> {
    let source = cluster.folder("source");
    let sizes = std::iter::repeat_n(1 << 30, options.big_files as usize)
        .chain(std::iter::repeat_n(SMALL_FILE_BYTES, options.small_files as usize));
    for (number, size_bytes) in (0..).zip(sizes) {
        let file = workload::random_file(&source, &format!("file-{number}"), size_bytes, number);
        cluster.run(&["put", &file.path.to_string_lossy()]).expect_success();
        fs::remove_file(&file.path)?;
    }
    Ok(())
}

fn measure_loss(cluster: &DevCluster, node: &str) -> Result<RepairFigures, RepairError> {
    cluster.kill(node);
    fs::remove_dir_all(cluster.data(node))?;
    let (before, written_before) = (heal_status(cluster), written_bytes(cluster, Some(node))?);
    cluster.dev_start(node).expect_success();
    let returned = Instant::now();
    wait::until_true_at_leisure("the repair has begun", HEAL_DEADLINE, || {
        let now = heal_status(cluster);
        // A chunk may be under way to even nodes out.
        now.items.iter().any(|item| item.reason == "missing") || now.rebuilt_chunks > before.rebuilt_chunks
    });
    let begun = Instant::now();
    let processor_before = processor_time::of(&daemons(cluster));
    wait::until_true_at_leisure("every blob is whole", HEAL_DEADLINE, || is_whole(cluster));
    let healed = begun.elapsed();
    let processor_s = processor_time::of(&daemons(cluster)).saturating_sub(processor_before).as_secs_f64();
    let (after, written_after) = (heal_status(cluster), written_bytes(cluster, None)?);
    let made = mib(after.rebuilt_bytes - before.rebuilt_bytes);
    Ok(RepairFigures {
        node: node.to_owned(),
        begun_s: begun.duration_since(returned).as_secs_f64(),
        healed_s: healed.as_secs_f64(),
        chunks: after.rebuilt_chunks - before.rebuilt_chunks,
        rebuilt_mib: made,
        mib_a_second: made / healed.as_secs_f64(),
        read_per_byte: mib(after.read_bytes - before.read_bytes) / made,
        written_per_byte: mib(written_after - written_before) / made,
        processor_s_per_gib: processor_s * 1024.0 / made,
    })
}

fn daemons(cluster: &DevCluster) -> Vec<Process> {
    let names = cluster.node_names().into_iter().chain(cluster.master_names());
    names.map(|name| cluster.process(&name)).collect()
}

/// For figures: exact to a KiB.
fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes >> 10).expect("less than 4 TiB are rebuilt")) / 1024.0
}

fn heal_status(cluster: &DevCluster) -> HealStatus {
    cluster.run(&["heal", "status", "--json"]).expect_success().json()
}

fn is_whole(cluster: &DevCluster) -> bool {
    let heal = heal_status(cluster);
    if heal.pending > 0 || heal.items.iter().any(|item| item.reason == "missing") {
        return false;
    }
    let status: Redundancy = cluster.run(&["status", "--json"]).expect_success().json();
    status.redundancy.iter().all(|(spare, count)| (spare == "2") == (*count > 0))
}

/// Bytes that the processes of the nodes had written to disk so far, but for one that does not run.
fn written_bytes(cluster: &DevCluster, absent: Option<&str>) -> Result<u64, io::Error> {
    let mut sum = 0;
    for node in cluster.node_names().iter().filter(|node| absent != Some(node.as_str())) {
        let io = fs::read_to_string(format!("/proc/{}/io", cluster.process(node).id()))?;
        let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        let written: Option<u64> = line.and_then(|number| number.parse().ok());
        sum += written.ok_or_else(|| io::Error::other("no write_bytes in /proc"))?;
    }
    Ok(sum)
}
