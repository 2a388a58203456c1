use std::fmt::Write;
use std::io;
use std::path::Path;

use super::LossesFigures;
use crate::bench::output;

/// Figures of all numbers of nodes.
#[derive(Debug)]
pub struct LossesReport {
    figures: Vec<LossesFigures>,
}

impl LossesReport {
    pub(super) fn new(figures: Vec<LossesFigures>) -> Self {
        Self { figures }
    }

    /// A table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = "One master; of the nodes, in another process, which make chunks in no time, one falls silent.\n\n\
             | nodes | segments | lost chunks | first order after, s | last one after, s | processor, ms | for each chunk, us | \
             orders for each | memory a node, KiB |\n\
             |---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for row in &self.figures {
            writeln!(
                text,
                "| {} | {} | {} | {:.1} | {:.2} | {:.0} | {:.0} | {:.2} | {:.0} |",
                row.nodes,
                row.segments,
                row.lost_chunks,
                row.begun_s,
                row.ordered_s,
                row.processor_ms,
                row.processor_us_a_chunk,
                row.orders_a_chunk,
                row.kib_a_node
            )
            .expect("a string takes all");
        }
        text
    }

    /// Writes `bench-losses.md` and `bench-losses.json` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench-losses", &self.markdown(), &serde_json::to_string_pretty(&self.figures)?)
    }
}
