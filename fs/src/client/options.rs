use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::records::KEPT_CONTENTS_LIMIT_BYTES;
use cairn_proto::transport::{Connector, TcpConnector};
use cairn_proto::wire::Label;

/// How a [`super::Client`] is set up. [`ClientOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Masters as `host:port`; a name that resolves to several addresses counts as all of them.
    pub masters: Vec<String>,
    /// How masters and nodes are connected to.
    pub connector: Arc<dyn Connector>,
    /// For people: what opened the session ("mount /mnt/blobs", "put").
    pub purpose: String,
    /// How long a request may take, retries included.
    pub deadline: Duration,
    /// How long a request goes on while no master answers at all; no longer than `deadline` either.
    pub unanswered_limit: Duration,
    /// The same for a request that lists or counts: whoever waits for it may as well look again later.
    pub unanswered_overview_limit: Duration,
    /// Layout of new blobs; `None`: the cluster's default.
    pub layout: Option<Layout>,
    /// Up to this length, a segment written at one go is kept by the masters, in its record, instead of on nodes; 0:
    /// none is. At most [`KEPT_CONTENTS_LIMIT_BYTES`].
    pub kept_contents_bytes: usize,
    /// Where this client is, widest failure domain first; nodes near it are read from first.
    pub locality: Vec<Label>,
    /// Bytes of encoded cells waiting to be sent, over all segments.
    pub write_memory_bytes: usize,
    /// Bytes of cells being read, read-ahead included.
    pub read_memory_bytes: usize,
    /// Bytes of the cell cache; 0 switches it off.
    pub cache_bytes: usize,
}

/// Default of [`ClientOptions::deadline`], and of [`ClientOptions::unanswered_limit`].
const DEADLINE: Duration = Duration::from_secs(30);
/// Default of [`ClientOptions::unanswered_overview_limit`]: with the last attempt, `ls` on a mount of a cluster that is gone
/// takes less than ten seconds.
const UNANSWERED_OVERVIEW_LIMIT: Duration = Duration::from_secs(5);
/// Default of [`ClientOptions::write_memory_bytes`].
const WRITE_MEMORY_BYTES: usize = 96 << 20;
/// Default of [`ClientOptions::read_memory_bytes`].
const READ_MEMORY_BYTES: usize = 64 << 20;
/// Default of [`ClientOptions::cache_bytes`].
const CACHE_BYTES: usize = 64 << 20;

impl ClientOptions {
    /// The defaults for a cluster with these masters.
    #[must_use]
    pub fn new(masters: Vec<String>, purpose: impl Into<String>) -> Self {
        Self {
            masters,
            connector: Arc::new(TcpConnector),
            purpose: purpose.into(),
            deadline: DEADLINE,
            unanswered_limit: DEADLINE,
            unanswered_overview_limit: UNANSWERED_OVERVIEW_LIMIT,
            layout: None,
            kept_contents_bytes: KEPT_CONTENTS_LIMIT_BYTES,
            locality: Vec::new(),
            write_memory_bytes: WRITE_MEMORY_BYTES,
            read_memory_bytes: READ_MEMORY_BYTES,
            cache_bytes: CACHE_BYTES,
        }
    }
}
