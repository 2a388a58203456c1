use cairn_proto::ids::{CommandId, MasterId};

use super::{CommandNumber, Epoch, Operation};

/// A command on its way through the log, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Proposal {
    /// The master that proposed it.
    pub(crate) leader: MasterId,
    /// Epoch of the lease under which it was decided.
    pub(crate) epoch: Epoch,
    /// Names it in the log.
    pub(crate) id: CommandId,
    /// Makes it apply once however often it comes; none for a write of the lease, whose condition does that.
    pub(crate) number: Option<CommandNumber>,
    /// What it does.
    pub(crate) operations: Vec<Operation>,
}

impl std::fmt::Display for Proposal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of epoch {} ({} operations)", self.id, self.epoch, self.operations.len())
    }
}
