//! Figures of mounts and of the key-value service, beside those of others: see `DESIGN.md`.

mod keys;
mod kv;
mod many_nodes;
mod output;
mod repair;
mod rounds;
mod scaling;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use cairn_codec::InvalidLayout;
use cairn_tests::bench::{
    HeartbeatsError, KeysError, KvError, LossesError, RepairError, ScalingClientError, ScalingError,
};
use cairn_tests::bench::{SimulationError, SubjectError, TablesError, TablesOptions, WorkError};
use cairn_tests::bench::{clear_at_end_of_input, measure_tables, serve_memory_mount};
use clap::{Parser, Subcommand};

use keys::KeysArguments;
use kv::KvArguments;
use many_nodes::{HeartbeatsArguments, LossesArguments, SimulatedNodesArguments};
use repair::RepairArguments;
use rounds::{ProfileArguments, RunArguments, WorkArguments};
use scaling::{ScalingArguments, ScalingClientArguments};

/// Figures of mounts and of the key-value service, beside those of others.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One round on a directory that exists
    Work(WorkArguments),
    /// Rounds on a new dev cluster, on the bare disk and on peers, in turn
    Run(RunArguments),
    /// Where processors spend their time in rows of one round on a new dev cluster, by `perf`
    Profile(ProfileArguments),
    /// Wait for the end of the input, then end every system whose data is in a folder of `run` and remove it
    #[command(hide = true)]
    Clear {
        /// The folder
        dir: PathBuf,
    },
    /// A mount with nothing behind it, until the end of the input: what others are measured against
    #[command(hide = true)]
    MemoryMount {
        /// Where
        dir: PathBuf,
    },
    /// The key-value service of new dev clusters, and of a peer
    Kv(KvArguments),
    /// Very many keys: making them, listing them through a mount, and what requests take then
    Keys(KeysArguments),
    /// What changes while something grows: nodes, clients, keys, sizes
    Scaling(ScalingArguments),
    /// What it is measured with
    #[command(hide = true)]
    ScalingClient(ScalingClientArguments),
    /// The rebuilding of what nodes lose
    Repair(RepairArguments),
    /// The heartbeats of very many nodes
    Heartbeats(HeartbeatsArguments),
    /// The loss of one node among very many
    Losses(LossesArguments),
    /// What both are measured with
    #[command(hide = true)]
    SimulatedNodes(SimulatedNodesArguments),
    /// The store of a node with very many tables
    Tables {
        /// Tables, each of one small chunk
        #[arg(long, default_value_t = 20_000)]
        tables: u32,
    },
}

#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Work(#[from] WorkError),
    #[error(transparent)]
    Subject(#[from] SubjectError),
    #[error(transparent)]
    Kv(#[from] KvError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Repair(#[from] RepairError),
    #[error(transparent)]
    Heartbeats(#[from] HeartbeatsError),
    #[error(transparent)]
    Losses(#[from] LossesError),
    #[error(transparent)]
    Simulation(#[from] SimulationError),
    #[error(transparent)]
    Scaling(#[from] ScalingError),
    #[error(transparent)]
    ScalingClient(#[from] ScalingClientError),
    #[error(transparent)]
    Layout(#[from] InvalidLayout),
    #[error(transparent)]
    Tables(#[from] TablesError),
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Work(arguments) => arguments.run(),
        Command::Run(arguments) => arguments.run(),
        Command::Profile(arguments) => arguments.run(),
        Command::Clear { dir } => clear_at_end_of_input(&dir).map_err(BenchError::from),
        Command::MemoryMount { dir } => serve_memory_mount(&dir).map_err(BenchError::from),
        Command::Kv(arguments) => arguments.run(),
        Command::Keys(arguments) => arguments.run(),
        Command::Scaling(arguments) => arguments.run(),
        Command::ScalingClient(arguments) => arguments.run(),
        Command::Repair(arguments) => arguments.run(),
        Command::Heartbeats(arguments) => arguments.run(),
        Command::Losses(arguments) => arguments.run(),
        Command::SimulatedNodes(arguments) => arguments.run(),
        Command::Tables { tables } => many_tables(TablesOptions { tables }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "cairn-bench: {error}").expect("standard error is open");
            ExitCode::FAILURE
        }
    }
}

fn many_tables(options: TablesOptions) -> Result<(), BenchError> {
    let figures = measure_tables(options)?;
    let document = serde_json::to_string_pretty(&figures).map_err(io::Error::from)?;
    writeln!(io::stdout(), "{document}")?;
    Ok(())
}
