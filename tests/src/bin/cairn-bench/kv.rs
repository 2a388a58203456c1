//! The key-value service, beside another one.

use std::path::PathBuf;
use std::time::Duration;

use cairn_tests::bench::{KvOptions, Measurement, compare_kv};
use clap::{Args, ValueEnum};

use crate::BenchError;
use crate::output::{publish, show};

#[derive(Debug, Args)]
pub(crate) struct KvArguments {
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

impl KvArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let options = KvOptions {
            etcd: self.peer == Some(KvPeer::Etcd),
            members: self.members,
            clients: self.clients,
            measured: Duration::from_secs(self.seconds),
            rounds: self.rounds,
            value_bytes: self.value_bytes,
        };
        let report = compare_kv(&options, &mut show_measurement)?;
        publish(self.output, &report.markdown(), |folder| report.write(folder))?;
        Ok(report.check_once()?)
    }
}

fn show_measurement(measurement: &Measurement) {
    let Measurement { case, round, per_second, p50_ms, p99_ms, client_processors, server_processors, .. } = measurement;
    show(format_args!(
        "{:5} x{} #{round} {:6} {:3} clients {per_second:9.0}/s  p50 {p50_ms:7.2} ms  p99 {p99_ms:7.2} ms  \
         processors: clients {client_processors:.2}, servers {server_processors:.2}",
        case.system, case.members, case.work, case.clients,
    ));
}
