//! What changes while something grows, and the process that it is measured with.

use std::path::PathBuf;

use cairn_codec::Layout;
use cairn_tests::bench::{ScalingOptions, ScalingSeries, StoredFile, measure_scaling, serve_scaling_client};
use clap::Args;

use crate::BenchError;
use crate::output::{publish, show};

#[derive(Debug, Args)]
pub(crate) struct ScalingArguments {
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
pub(crate) struct ScalingClientArguments {
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

impl ScalingArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { series, rounds, quick, output } = self;
        let series = if series.is_empty() { ScalingSeries::all().to_vec() } else { series };
        let options = ScalingOptions { series, rounds, quick };
        let report = measure_scaling(&options, &mut |line| show(format_args!("{line}")))?;
        Ok(publish(output, &report.markdown(), |folder| report.write(folder))?)
    }
}

impl ScalingClientArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { masters, key, mib, layout, cell_bytes, stripe_bytes } = self;
        let layout = layout.with_cell_size(cell_bytes)?.with_stripe_size(stripe_bytes)?;
        Ok(serve_scaling_client(&StoredFile { masters, key, mib, layout })?)
    }
}
