//! Very many nodes, which are simulated.

use std::path::PathBuf;
use std::time::Duration;

use cairn_tests::bench::{HeartbeatsFigures, HeartbeatsOptions, measure_heartbeats};
use cairn_tests::bench::{LossesFigures, LossesOptions, measure_losses, simulate_nodes};
use cairn_tests::binary::profile_directory;
use clap::Args;

use crate::BenchError;
use crate::output::{publish, show};

#[derive(Debug, Args)]
pub(crate) struct HeartbeatsArguments {
    /// Numbers of nodes
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    nodes: Vec<u32>,
    /// Measured seconds of each
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Folder for bench-heartbeats.md and bench-heartbeats.json [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Where masters have their data meanwhile [default: `clusters` beside this program]
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LossesArguments {
    /// Numbers of nodes
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    nodes: Vec<u32>,
    /// Chunks on record for each node
    #[arg(long, default_value_t = 120)]
    chunks: u32,
    /// Folder for bench-losses.md and bench-losses.json [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Where masters have their data meanwhile [default: `clusters` beside this program]
    #[arg(long)]
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SimulatedNodesArguments {
    /// So many
    #[arg(long)]
    nodes: u32,
    /// Which they join
    #[arg(long)]
    master: String,
    /// They refuse to list what they keep
    #[arg(long)]
    unlisted: bool,
}

impl HeartbeatsArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { nodes, seconds, output, folder } = self;
        let options =
            HeartbeatsOptions { nodes, measured: Duration::from_secs(seconds), folder: masters_folder(folder) };
        let report = measure_heartbeats(&options, &mut show_heartbeats)?;
        Ok(publish(output, &report.markdown(), |folder| report.write(folder))?)
    }
}

impl LossesArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { nodes, chunks, output, folder } = self;
        let options = LossesOptions { nodes, chunks, folder: masters_folder(folder) };
        let report = measure_losses(&options, &mut show_losses)?;
        Ok(publish(output, &report.markdown(), |folder| report.write(folder))?)
    }
}

impl SimulatedNodesArguments {
    pub(crate) fn run(&self) -> Result<(), BenchError> {
        Ok(simulate_nodes(self.nodes, &self.master, self.unlisted)?)
    }
}

fn masters_folder(given: Option<PathBuf>) -> PathBuf {
    given.unwrap_or_else(|| profile_directory().join("clusters"))
}

fn show_heartbeats(figures: &HeartbeatsFigures) {
    let HeartbeatsFigures { nodes, processor_us_a_beat, bytes_a_beat, kib_a_node, .. } = figures;
    show(format_args!(
        "{nodes:5} nodes: {processor_us_a_beat:.0} us and {bytes_a_beat:.0} bytes each, {kib_a_node:.0} KiB a node"
    ));
}

fn show_losses(figures: &LossesFigures) {
    let LossesFigures { nodes, lost_chunks, ordered_s, processor_us_a_chunk, .. } = figures;
    show(format_args!(
        "{nodes:5} nodes: {lost_chunks} chunks ordered in {ordered_s:.2} s, {processor_us_a_chunk:.0} us each"
    ));
}
