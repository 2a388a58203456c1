//! Rounds of the same work on mounts.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_tests::bench::{Amount, ComparisonOptions, Figure, ProfileOptions, Row, System, compare, profile, work};
use clap::{Args, ValueEnum};

use crate::BenchError;
use crate::output::{publish, show};

#[derive(Debug, Args)]
pub(crate) struct WorkArguments {
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
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
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

#[derive(Debug, Args)]
pub(crate) struct ProfileArguments {
    /// What to look into [default: everything]
    #[arg(long, value_delimiter = ',')]
    rows: Vec<Row>,
    /// Much less of everything, to see that it works
    #[arg(long)]
    quick: bool,
    /// Folder for bench-profile.md, bench-profile.json and a flame graph of each row [default: `bench` beside this program]
    #[arg(long)]
    output: Option<PathBuf>,
}

impl From<Peer> for System {
    fn from(peer: Peer) -> Self {
        match peer {
            Peer::Gluster => Self::Gluster,
            Peer::Moosefs => Self::MooseFs,
        }
    }
}

impl WorkArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { dir, label, json, quick } = self;
        one_round(&dir, &label, json, amount(quick))
    }
}

impl RunArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let options = ComparisonOptions {
            peers: self.peers.into_iter().map(System::from).collect(),
            rounds: self.rounds,
            rows: rows(self.rows),
            amount: amount(self.quick),
            time_limit: Duration::from_mins(self.minutes),
        };
        let mut show = |figure: &Figure| show_figure(&format!("{} #{}", figure.system, figure.round + 1), figure);
        let report = compare(&options, &mut show)?;
        Ok(publish(self.output, &report.markdown(), |folder| report.write(folder))?)
    }
}

impl ProfileArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let options = ProfileOptions { rows: rows(self.rows), amount: amount(self.quick) };
        let report = profile(&options, &mut |figure| show_figure("cairn", figure))?;
        Ok(publish(self.output, &report.markdown(), |folder| report.write(folder))?)
    }
}

/// All, unless some are named.
fn rows(named: Vec<Row>) -> Vec<Row> {
    if named.is_empty() { Row::all().to_vec() } else { named }
}

fn amount(quick: bool) -> Amount {
    if quick { Amount::QUICK } else { Amount::FULL }
}

fn one_round(dir: &Path, label: &str, json: bool, amount: Amount) -> Result<(), BenchError> {
    let figures = work(dir, amount, &mut |figure| {
        if !json {
            show_figure(label, figure);
        }
    })?;
    if json {
        let document = serde_json::json!({ "label": label, "results": figures });
        writeln!(io::stdout(), "{document}")?;
    }
    Ok(())
}

fn show_figure(label: &str, figure: &Figure) {
    let (row, seconds) = (figure.row, figure.seconds);
    let unit = row.unit().name();
    show(format_args!("{label:12} {:40} {:12.2} {unit:8} {seconds:6.2} s", row.name(), figure.value));
}
