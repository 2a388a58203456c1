//! Very many keys.

use std::path::PathBuf;

use cairn_tests::bench::{KeysFigures, KeysOptions, measure_keys};
use clap::Args;

use crate::BenchError;
use crate::output::{publish, show};

#[derive(Debug, Args)]
pub(crate) struct KeysArguments {
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

impl KeysArguments {
    pub(crate) fn run(self) -> Result<(), BenchError> {
        let Self { keys, rounds, requests, output } = self;
        let report = measure_keys(&KeysOptions { keys, rounds, requests }, &mut show_keys)?;
        Ok(publish(output, &report.markdown(), |folder| report.write(folder))?)
    }
}

fn show_keys(figures: &KeysFigures) {
    let KeysFigures { keys, made_a_second, first_listing_s, second_listing_s, .. } = figures;
    show(format_args!(
        "{keys:8} keys: {made_a_second:6.0}/s made, listed in {first_listing_s:.2} s, again in {second_listing_s:.2} s"
    ));
}
