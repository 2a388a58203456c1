//! The rebuilding of what nodes lose.

use std::path::PathBuf;

use cairn_tests::bench::{RepairFigures, RepairOptions, measure_repairs};
use clap::Args;

use crate::BenchError;
use crate::output::{publish, show};

#[derive(Debug, Args)]
pub(crate) struct RepairArguments {
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

impl RepairArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { big_files, small_files, output } = self;
        let report = measure_repairs(RepairOptions { big_files, small_files }, &mut show_repair)?;
        Ok(publish(output, &report.markdown(), |folder| report.write(folder))?)
    }
}

fn show_repair(figures: &RepairFigures) {
    let RepairFigures { node, begun_s, healed_s, chunks, mib_a_second, .. } = figures;
    show(format_args!(
        "{node}: begun after {begun_s:.2} s, {chunks} chunks in {healed_s:.1} s, {mib_a_second:.0} MiB/s"
    ));
}
