use std::fmt::Write;
use std::io;
use std::path::Path;

use super::RepairFigures;
use crate::bench::output;

/// Figures of all lost nodes.
#[derive(Debug)]
pub struct RepairReport {
    figures: Vec<RepairFigures>,
}

impl RepairReport {
    pub(super) fn new(figures: Vec<RepairFigures>) -> Self {
        Self { figures }
    }

    /// A table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text =
            "Seven nodes, layout 4+2, of which one after the other returns without its data. At least 4 bytes are read \
             and 1 is written for each that is rebuilt.\n\n\
             | node | begun after, s | healed in, s | chunks | MiB | MiB/s | read for each byte | written for each byte | processor s/GiB |\n\
             |---|---:|---:|---:|---:|---:|---:|---:|---:|\n"
                .to_owned();
        for row in &self.figures {
            writeln!(
                text,
                "| {} | {:.2} | {:.1} | {} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} |",
                row.node,
                row.begun_s,
                row.healed_s,
                row.chunks,
                row.rebuilt_mib,
                row.mib_a_second,
                row.read_per_byte,
                row.written_per_byte,
                row.processor_s_per_gib
            )
            .expect("a string takes all");
        }
        text
    }

    /// Writes `bench-repair.md` and `bench-repair.json` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench-repair", &self.markdown(), &serde_json::to_string_pretty(&self.figures)?)
    }
}
