use std::fmt::Write;
use std::io;
use std::path::Path;

use super::{KeysFigures, RequestFigures};
use crate::bench::output;

/// Figures of all numbers of keys.
#[derive(Debug)]
pub struct KeysReport {
    figures: Vec<KeysFigures>,
}

impl KeysReport {
    pub(super) fn new(figures: Vec<KeysFigures>) -> Self {
        Self { figures }
    }

    /// A table.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = "Empty keys on a dev cluster of three masters, made by four clients with 64 requests each; each listing on \
             a new mount, `again` on the same.\n\n\
             | keys | made a second | ls -U \\| wc -l, s | again, s | ls -l, s | again, s | mount, MiB | master, MiB | commits a second | \
             look-ups a second | first page, ms |\n\
             |---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
            .to_owned();
        for row in &self.figures {
            let [attributes, attributes_again] = [row.attributes_s, row.attributes_again_s]
                .map(|took| took.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2}")));
            let requests = row.requests.map_or_else(
                || "- | - | -".to_owned(),
                |requests| {
                    let RequestFigures { commits_a_second, look_ups_a_second, first_page_ms } = requests;
                    let [commits, look_ups] = [commits_a_second.median, look_ups_a_second.median];
                    format!("{commits:.0} | {look_ups:.0} | {:.2}", first_page_ms.median)
                },
            );
            writeln!(
                text,
                "| {} | {:.0} | {:.2} | {:.2} | {attributes} | {attributes_again} | {} | {} | {requests} |",
                row.keys,
                row.made_a_second,
                row.first_listing_s,
                row.second_listing_s,
                row.mount_peak_mib,
                row.master_peak_mib
            )
            .expect("a string takes all");
        }
        text
    }

    /// Writes `bench-keys.md` and `bench-keys.json` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench-keys", &self.markdown(), &serde_json::to_string_pretty(&self.figures)?)
    }
}
