use std::fmt::Write;
use std::io;
use std::path::Path;

use super::HeartbeatsFigures;
use crate::bench::output;

/// Figures of all numbers of nodes.
#[derive(Debug)]
pub struct HeartbeatsReport {
    figures: Vec<HeartbeatsFigures>,
}

impl HeartbeatsReport {
    pub(super) fn new(figures: Vec<HeartbeatsFigures>) -> Self {
        Self { figures }
    }

    /// A table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = "One master, and nodes in another process that answer over TCP and keep nothing.\n\n\
             | nodes | all joined after, s | heartbeats a second | processor, us each | share of one processor, % | bytes each | memory a node, KiB |\n\
             |---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for row in &self.figures {
            writeln!(
                text,
                "| {} | {:.1} | {:.0} | {:.0} | {:.1} | {:.0} | {:.0} |",
                row.nodes,
                row.joined_s,
                row.beats_a_second,
                row.processor_us_a_beat,
                row.processor_percent,
                row.bytes_a_beat,
                row.kib_a_node
            )
            .expect("a string takes all");
        }
        text
    }

    /// Writes `bench-heartbeats.md` and `bench-heartbeats.json` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench-heartbeats", &self.markdown(), &serde_json::to_string_pretty(&self.figures)?)
    }
}
