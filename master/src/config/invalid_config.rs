use cairn_codec::InvalidLayout;

use super::{KEEP_ENTRIES_LIMIT, SNAPSHOT_EVERY_ENTRIES};

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// The layout is none.
    #[error("layout: {0}")]
    Layout(#[from] InvalidLayout),
    /// The address cannot be listened at.
    #[error("listen = {listen:?}: {why}")]
    Listen {
        /// As written.
        listen: String,
        /// What is wrong.
        why: String,
    },
    /// The address is outside loopback.
    #[error(
        "listen = {listen:?} is reachable from other machines, and there is no authentication yet: anybody who reaches \
         the port can read and delete everything. Listen at 127.0.0.1, or set insecure = true (--insecure) on a \
         network that you trust"
    )]
    NotLoopback {
        /// As written.
        listen: String,
    },
    /// The group makes no sense.
    #[error("members: {0}")]
    Members(String),
    /// Bounds of the log that cannot work.
    #[error(
        "log: snapshot_every_entries must be from {} to {}, keep_entries not less than it and at most {KEEP_ENTRIES_LIMIT}",
        SNAPSHOT_EVERY_ENTRIES.start(), SNAPSHOT_EVERY_ENTRIES.end()
    )]
    Log,
    /// Times that cannot work together.
    #[error("timing: {0}")]
    Timing(&'static str),
}
