use cairn_proto::ids::BlobId;
use cairn_proto::wire;

/// What a key must be for a mutation to apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Anything.
    None,
    /// The key must not exist.
    Absent,
    /// The key must point at this blob.
    Blob(BlobId),
}

impl Precondition {
    pub(super) fn to_wire(self) -> Option<wire::Precondition> {
        let condition = match self {
            Self::None => return None,
            Self::Absent => wire::precondition::Condition::Absent(wire::Absent {}),
            Self::Blob(blob) => wire::precondition::Condition::Blob(blob.to_wire()),
        };
        Some(wire::Precondition { condition: Some(condition) })
    }
}
