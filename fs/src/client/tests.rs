//! The client against a cluster of fakes, with faults.

mod lost_targets;
mod metadata;
mod reading;
mod relaying;
mod watching;
mod writing;

use cairn_codec::Layout;

/// 4+2 with small cells and three rows to a stripe, so that small blobs reach every boundary.
fn small_layout() -> Layout {
    Layout::new(4, 2, 4096, 3 * 4 * 4096).unwrap()
}
