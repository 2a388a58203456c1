use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::super::Proposal;

/// A command as an entry of the log carries it: checked, and in the form in which it is kept and passed on. Copies share
/// both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedCommand {
    shared: Arc<Shared>,
}

#[derive(Debug, PartialEq, Eq)]
struct Shared {
    proposal: Proposal,
    encoded: Bytes,
}

impl LoggedCommand {
    /// A command and its own form on the wire.
    pub(super) fn new(proposal: Proposal, encoded: Bytes) -> Self {
        Self { shared: Arc::new(Shared { proposal, encoded }) }
    }

    /// The command.
    pub(crate) fn proposal(&self) -> &Proposal {
        &self.shared.proposal
    }

    /// Its form on the wire.
    pub(super) fn encoded(&self) -> &Bytes {
        &self.shared.encoded
    }
}

impl fmt::Display for LoggedCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proposal().fmt(f)
    }
}
