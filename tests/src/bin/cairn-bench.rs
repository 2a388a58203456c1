//! Figures of mounts and of the key-value service, beside those of others: see `DESIGN.md`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cairn_codec::{InvalidLayout, Layout};
use cairn_tests::bench::{Amount, ComparisonOptions, Figure, Row, SubjectError, System, WorkError};
use cairn_tests::bench::{HeartbeatsError, HeartbeatsFigures, HeartbeatsOptions, measure_heartbeats};
use cairn_tests::bench::{KeysError, KeysFigures, KeysOptions, measure_keys};
use cairn_tests::bench::{KvError, KvOptions, Measurement, compare_kv};
use cairn_tests::bench::{LossesError, LossesFigures, LossesOptions, measure_losses};
use cairn_tests::bench::{RepairError, RepairFigures, RepairOptions, measure_repairs};
use cairn_tests::bench::{ScalingClientError, StoredFile, serve_scaling_client};
use cairn_tests::bench::{ScalingError, ScalingOptions, ScalingSeries, measure_scaling};
use cairn_tests::bench::{SimulationError, simulate_nodes};
use cairn_tests::bench::{TablesError, TablesOptions, measure_tables};
use cairn_tests::bench::{clear_at_end_of_input, compare, serve_memory_mount, work};
use cairn_tests::binary::profile_directory;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Figures of mounts and of the key-value service, beside those of others.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// One round on a directory that exists
    Work {
        /// The directory
        dir: PathBuf,
        /// Its name in the output
        #[arg(long, default_value = "directory")]
        label: String,
        /// One JSON document instead of a line for each row
        #[arg(long)]
        json: bool,
        /// Much less of everything, to see that it works
        #[arg(long)]
        quick: bool,
    },
    /// Rounds on a new dev cluster, on the bare disk and on peers, in turn
    Run(RunArguments),
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
    SimulatedNodes {
        /// So many
        #[arg(long)]
        nodes: u32,
        /// Which they join
        #[arg(long)]
        master: String,
        /// They refuse to list what they keep
        #[arg(long)]
        unlisted: bool,
    },
    /// The store of a node with very many tables
    Tables {
        /// Tables, each of one small chunk
        #[arg(long, default_value_t = 20_000)]
        tables: u32,
    },
}

#[derive(Debug, Args)]
struct KeysArguments {
    /// Numbers of keys
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    keys: Vec<u32>,
    /// Rounds of requests with each number of keys
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Commits of further files of each round; four times as many keys are looked up
    #[arg(long, default_value_t = 4000)]
    requests: u32,
    /// Folder for bench-keys.md and bench-keys.json [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ScalingArguments {
    /// What grows [default: everything]
    #[arg(long, value_delimiter = ',')]
    series: Vec<ScalingSeries>,
    /// Rounds of each figure
    #[arg(long, default_value_t = 3, default_value_if("quick", "true", "1"))]
    rounds: usize,
    /// Much less of everything, and one round if nothing else is said, to see that it works
    #[arg(long)]
    quick: bool,
    /// Folder for bench-scaling.md, bench-scaling.json and the pictures [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct ScalingClientArguments {
    /// Addresses of the masters
    #[arg(long, value_delimiter = ',')]
    masters: Vec<String>,
    /// Its file
    #[arg(long)]
    key: String,
    /// Size of it
    #[arg(long)]
    mib: u32,
    /// Data and code chunks
    #[arg(long)]
    layout: Layout,
    /// Size of a cell
    #[arg(long)]
    cell_bytes: u32,
    /// Size of a stripe
    #[arg(long)]
    stripe_bytes: u64,
}

#[derive(Debug, Args)]
struct RepairArguments {
    /// Files of 1 GiB
    #[arg(long, default_value_t = 4)]
    big_files: u32,
    /// Files of 300 KiB
    #[arg(long, default_value_t = 1000)]
    small_files: u32,
    /// Folder for bench-repair.md and bench-repair.json [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct HeartbeatsArguments {
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
struct LossesArguments {
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
struct KvArguments {
    /// Compare with this too
    #[arg(long)]
    peer: Option<KvPeer>,
    /// Sizes of the clusters
    #[arg(long, value_delimiter = ',', default_values_t = [1, 3])]
    members: Vec<usize>,
    /// Numbers of clients, each with a connection of its own and one request at a time
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 128])]
    clients: Vec<usize>,
    /// Measured seconds of each figure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds of each cluster
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Length of the values
    #[arg(long, default_value_t = 256)]
    value_bytes: usize,
    /// Folder for bench-kv.md and bench-kv.json [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KvPeer {
    Etcd,
}

#[derive(Debug, Args)]
struct RunArguments {
    /// What to compare with; each is installed if it is missing (Debian, Ubuntu)
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Rounds of each; rows that differ too much get further ones
    #[arg(long, default_value_t = 3, default_value_if("quick", "true", "1"))]
    rounds: usize,
    /// What to measure [default: everything]
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Much less of everything, and one round if nothing else is said, to see that it works
    #[arg(long)]
    quick: bool,
    /// No round is begun that can be expected to end later
    #[arg(long, default_value_t = 36)]
    minutes: u64,
    /// Folder for bench.md, bench.json and bench.svg [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Peer {
    Gluster,
    Moosefs,
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

impl From<Peer> for System {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Gluster => Self::Gluster,
            Peer::Moosefs => Self::MooseFs,
        }
    }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Work { dir, label, json, quick } => one_round(&dir, &label, json, amount(quick)),
        Command::Run(arguments) => comparison(arguments),
        Command::Clear { dir } => clear_at_end_of_input(&dir).map_err(BenchError::from),
        Command::MemoryMount { dir } => serve_memory_mount(&dir).map_err(BenchError::from),
        Command::Kv(arguments) => key_values(arguments),
        Command::Repair(arguments) => repairs(arguments),
        Command::Heartbeats(arguments) => heartbeats(arguments),
        Command::Losses(arguments) => losses(arguments),
        Command::SimulatedNodes { nodes, master, unlisted } => {
            simulate_nodes(nodes, &master, unlisted).map_err(BenchError::from)
        }
        Command::Tables { tables } => many_tables(TablesOptions { tables }),
        Command::Keys(arguments) => many_keys(arguments),
        Command::Scaling(arguments) => scaling(arguments),
        Command::ScalingClient(arguments) => scaling_client(arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "cairn-bench: {error}").expect("standard error is open");
            ExitCode::FAILURE
        }
    }
}

fn amount(quick: bool) -> Amount {
    if quick { Amount::QUICK } else { Amount::FULL }
}

fn one_round(dir: &Path, label: &str, json: bool, amount: Amount) -> Result<(), BenchError> {
    let figures = work(dir, amount, &mut |figure| {
        if !json {
            show(label, figure);
        }
    })?;
    if json {
        let document = serde_json::json!({ "label": label, "results": figures });
        writeln!(io::stdout(), "{document}")?;
    }
    Ok(())
}

fn comparison(arguments: RunArguments) -> Result<(), BenchError> {
    let options = ComparisonOptions {
        peers: arguments.peers.into_iter().map(System::from).collect(),
        rounds: arguments.rounds,
        rows: if arguments.rows.is_empty() { Row::all().to_vec() } else { arguments.rows },
        amount: amount(arguments.quick),
        time_limit: Duration::from_mins(arguments.minutes),
    };
    let output = arguments.output.unwrap_or_else(|| profile_directory().join("bench"));
    let report = compare(&options, &mut |figure| show(&format!("{} #{}", figure.system, figure.round + 1), figure))?;
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(())
}

fn key_values(arguments: KvArguments) -> Result<(), BenchError> {
    let options = KvOptions {
        etcd: arguments.peer == Some(KvPeer::Etcd),
        members: arguments.members,
        clients: arguments.clients,
        measured: Duration::from_secs(arguments.seconds),
        rounds: arguments.rounds,
        value_bytes: arguments.value_bytes,
    };
    let output = arguments.output.unwrap_or_else(|| profile_directory().join("bench"));
    let report = compare_kv(&options, &mut show_measurement)?;
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(report.check_once()?)
}

fn scaling(arguments: ScalingArguments) -> Result<(), BenchError> {
    let ScalingArguments { series, rounds, quick, output } = arguments;
    let series = if series.is_empty() { ScalingSeries::all().to_vec() } else { series };
    let output = output.unwrap_or_else(|| profile_directory().join("bench"));
    let report = measure_scaling(&ScalingOptions { series, rounds, quick }, &mut |line| {
        writeln!(io::stdout(), "{line}").expect("standard output is open");
    })?;
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(())
}

fn scaling_client(arguments: ScalingClientArguments) -> Result<(), BenchError> {
    let ScalingClientArguments { masters, key, mib, layout, cell_bytes, stripe_bytes } = arguments;
    let layout = layout.with_cell_size(cell_bytes)?.with_stripe_size(stripe_bytes)?;
    Ok(serve_scaling_client(&StoredFile { masters, key, mib, layout })?)
}

fn many_keys(arguments: KeysArguments) -> Result<(), BenchError> {
    let KeysArguments { keys, rounds, requests, output } = arguments;
    let output = output.unwrap_or_else(|| profile_directory().join("bench"));
    let report = measure_keys(&KeysOptions { keys, rounds, requests }, &mut show_keys)?;
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(())
}

fn repairs(arguments: RepairArguments) -> Result<(), BenchError> {
    let RepairArguments { big_files, small_files, output } = arguments;
    let report = measure_repairs(RepairOptions { big_files, small_files }, &mut show_repair)?;
    let output = output.unwrap_or_else(|| profile_directory().join("bench"));
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(())
}

fn heartbeats(arguments: HeartbeatsArguments) -> Result<(), BenchError> {
    let HeartbeatsArguments { nodes, seconds, output, folder } = arguments;
    let folder = folder.unwrap_or_else(|| profile_directory().join("clusters"));
    let options = HeartbeatsOptions { nodes, measured: Duration::from_secs(seconds), folder };
    let report = measure_heartbeats(&options, &mut show_heartbeats)?;
    let output = output.unwrap_or_else(|| profile_directory().join("bench"));
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(())
}

fn losses(arguments: LossesArguments) -> Result<(), BenchError> {
    let LossesArguments { nodes, chunks, output, folder } = arguments;
    let folder = folder.unwrap_or_else(|| profile_directory().join("clusters"));
    let report = measure_losses(&LossesOptions { nodes, chunks, folder }, &mut show_losses)?;
    let output = output.unwrap_or_else(|| profile_directory().join("bench"));
    report.write(&output)?;
    writeln!(io::stdout(), "\n{}\nwritten to {}", report.markdown(), output.display())?;
    Ok(())
}

fn many_tables(options: TablesOptions) -> Result<(), BenchError> {
    let figures = measure_tables(options)?;
    let document = serde_json::to_string_pretty(&figures).map_err(io::Error::from)?;
    writeln!(io::stdout(), "{document}")?;
    Ok(())
}

fn show_heartbeats(figures: &HeartbeatsFigures) {
    let HeartbeatsFigures { nodes, processor_us_a_beat, bytes_a_beat, kib_a_node, .. } = figures;
    let line = writeln!(
        io::stdout(),
        "{nodes:5} nodes: {processor_us_a_beat:.0} us and {bytes_a_beat:.0} bytes each, {kib_a_node:.0} KiB a node"
    );
    line.expect("standard output is open");
}

fn show_losses(figures: &LossesFigures) {
    let LossesFigures { nodes, lost_chunks, ordered_s, processor_us_a_chunk, .. } = figures;
    let line = writeln!(
        io::stdout(),
        "{nodes:5} nodes: {lost_chunks} chunks ordered in {ordered_s:.2} s, {processor_us_a_chunk:.0} us each"
    );
    line.expect("standard output is open");
}

fn show_repair(figures: &RepairFigures) {
    let RepairFigures { node, begun_s, healed_s, chunks, mib_a_second, .. } = figures;
    let line = writeln!(
        io::stdout(),
        "{node}: begun after {begun_s:.2} s, {chunks} chunks in {healed_s:.1} s, {mib_a_second:.0} MiB/s"
    );
    line.expect("standard output is open");
}

fn show_keys(figures: &KeysFigures) {
    let KeysFigures { keys, made_a_second, first_listing_s, second_listing_s, .. } = figures;
    let line = writeln!(
        io::stdout(),
        "{keys:8} keys: {made_a_second:6.0}/s made, listed in {first_listing_s:.2} s, again in {second_listing_s:.2} s"
    );
    line.expect("standard output is open");
}

fn show_measurement(measurement: &Measurement) {
    let Measurement { case, round, per_second, p50_ms, p99_ms, client_processors, server_processors, .. } = measurement;
    let line = writeln!(
        io::stdout(),
        "{:5} x{} #{round} {:6} {:3} clients {per_second:9.0}/s  p50 {p50_ms:7.2} ms  p99 {p99_ms:7.2} ms  \
         processors: clients {client_processors:.2}, servers {server_processors:.2}",
        case.system,
        case.members,
        case.work,
        case.clients,
    );
    line.expect("standard output is open");
}

fn show(label: &str, figure: &Figure) {
    let (row, seconds) = (figure.row, figure.seconds);
    let unit = row.unit().name();
    let line = writeln!(io::stdout(), "{label:12} {:40} {:12.2} {unit:8} {seconds:6.2} s", row.name(), figure.value);
    line.expect("standard output is open");
}
