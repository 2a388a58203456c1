use cairn_proto::Refusal;
use cairn_proto::ids::{BlobId, SegmentId, SessionId};

/// Why a call of the client library failed: the cause, on what, and the next step where there is one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Nothing answered at any master's address.
    #[error(
        "cannot {what}: no master answers at {masters} ({why}); check that the cluster runs and the addresses are right"
    )]
    Unreachable {
        /// What was to be done.
        what: &'static str,
        /// The addresses tried.
        masters: String,
        /// The last failure.
        why: String,
    },
    /// Masters answer, and none of them is elected.
    #[error("cannot {what}: masters answer, but none is elected ({why}); a majority of them must run")]
    Unavailable {
        /// What was to be done.
        what: &'static str,
        /// The last answer.
        why: String,
    },
    /// A mutation was sent and no answer came in time: it may or may not have been done, as a whole.
    #[error("cannot tell whether to {what} succeeded: {why}; look before doing it again")]
    OutcomeUnknown {
        /// What was to be done.
        what: &'static str,
        /// Why no answer came.
        why: String,
    },
    /// The key exists and must not.
    #[error("key {key:?} exists")]
    KeyExists {
        /// The key.
        key: String,
    },
    /// No such key.
    #[error("no key {key:?}")]
    KeyNotFound {
        /// The key.
        key: String,
    },
    /// The key no longer points at the blob that the precondition names.
    #[error("key {key:?} was changed by someone else")]
    KeyChanged {
        /// The key.
        key: String,
    },
    /// No valid key.
    #[error("invalid key: {why}")]
    InvalidKey {
        /// What is wrong with it.
        why: String,
    },
    /// A value of the key-value service would be longer than it may be.
    #[error("the value of {key:?} would be longer than the {limit} bytes it may have; store it as a blob")]
    ValueTooLong {
        /// The key.
        key: String,
        /// The limit.
        limit: String,
    },
    /// No blob of that id, or it was deleted.
    #[error("no blob {blob}; it was deleted")]
    BlobNotFound {
        /// The blob.
        blob: String,
    },
    /// Too few nodes serve writes for the layout.
    #[error("{serving} nodes serve writes and the layout needs {needed}; not serving: {missing}")]
    TooFewNodes {
        /// Nodes that the layout needs at least.
        needed: String,
        /// Nodes that serve writes.
        serving: String,
        /// Names of those that do not.
        missing: String,
    },
    /// The nodes that serve have no room.
    #[error("no space left: {why}; delete something or add nodes")]
    NoSpace {
        /// Who says so.
        why: String,
    },
    /// More nodes failed in mid-write than the layout lets be missing.
    #[error("segment {segment} lost more nodes than layout {layout} lets be missing: {failures}; write it again")]
    TargetsLost {
        /// The segment being written.
        segment: SegmentId,
        /// Its layout.
        layout: String,
        /// Each lost node with its failure.
        failures: String,
    },
    /// Too few chunks of a row can be read.
    #[error(
        "row {row} of segment {segment} has {found} of {needed} chunks it takes to read it: {failures}; start these nodes again"
    )]
    TooFewChunks {
        /// The segment.
        segment: SegmentId,
        /// The row in it.
        row: u64,
        /// Cells that were read.
        found: usize,
        /// Cells that are needed.
        needed: usize,
        /// Each missing chunk with its node and failure.
        failures: String,
    },
    /// All cells are sound, and the blob's digest is another.
    #[error("blob {blob} is corrupt: {why}; run fsck")]
    Corrupt {
        /// The blob.
        blob: BlobId,
        /// What does not agree.
        why: String,
    },
    /// The session expired, and with it every transaction that it had open.
    #[error("session {session} expired, so what it was writing is lost; write it again")]
    SessionLost {
        /// The session.
        session: SessionId,
    },
    /// The layout is invalid.
    #[error("invalid layout: {why}")]
    InvalidLayout {
        /// What is wrong with it.
        why: String,
    },
    /// The caller asks for something that cannot be.
    #[error("invalid request: {why}")]
    InvalidRequest {
        /// What is wrong with it.
        why: String,
    },
    /// This cannot be done to a node as things are.
    #[error("{why}")]
    NodeRefused {
        /// Why, and what comes first.
        why: String,
    },
    /// A master refuses, for a reason that has no meaning of its own here.
    #[error("cannot {what}: {why}")]
    Refused {
        /// What was to be done.
        what: &'static str,
        /// The master's words.
        why: String,
    },
    /// A peer answered what no correct peer answers.
    #[error("{peer} broke the protocol: {why}; check that all parts are of one version")]
    Protocol {
        /// Who answered.
        peer: String,
        /// What is wrong with the answer.
        why: String,
    },
}

impl ClientError {
    pub(super) fn protocol(peer: &str, why: impl std::fmt::Display) -> Self {
        Self::Protocol { peer: peer.to_owned(), why: why.to_string() }
    }

    /// The loss of nodes that none could take the place of, with the reason.
    pub(super) fn without_replacement(self, reason: &Self) -> Self {
        let with_reason = |what: String| format!("{what}; no other node took their place: {reason}");
        match self {
            Self::TargetsLost { segment, layout, failures } => {
                Self::TargetsLost { segment, layout, failures: with_reason(failures) }
            }
            Self::NoSpace { why } => Self::NoSpace { why: with_reason(why) },
            other => other,
        }
    }

    /// What a master's refusal of `what` means to the caller.
    pub(super) fn from_refusal(what: &'static str, refusal: Refusal) -> Self {
        match refusal {
            Refusal::KeyExists { key } => Self::KeyExists { key },
            Refusal::KeyNotFound { key } => Self::KeyNotFound { key },
            Refusal::KeyChanged { key } => Self::KeyChanged { key },
            Refusal::InvalidKey { why } => Self::InvalidKey { why },
            Refusal::ValueTooLong { key, limit } => Self::ValueTooLong { key, limit },
            Refusal::BlobNotFound { blob } => Self::BlobNotFound { blob },
            Refusal::InvalidLayout { why } => Self::InvalidLayout { why },
            Refusal::InvalidRequest { why } => Self::InvalidRequest { why },
            Refusal::TooFewNodes { needed, serving, missing } => Self::TooFewNodes { needed, serving, missing },
            Refusal::NodeRefused { why } => Self::NodeRefused { why },
            Refusal::NoSpace { what } => Self::NoSpace { why: what },
            Refusal::OutcomeUnknown { why } => Self::OutcomeUnknown { what, why },
            Refusal::SessionExpired { session } => match session.parse() {
                Ok(number) => Self::SessionLost { session: SessionId(number) },
                Err(_) => Self::protocol("master", format!("expired session {session:?} is no number")),
            },
            other => Self::Refused { what, why: other.to_string() },
        }
    }
}

impl From<cairn_proto::transport::InvalidAddress> for ClientError {
    fn from(error: cairn_proto::transport::InvalidAddress) -> Self {
        Self::protocol(error.address(), &error)
    }
}

impl From<cairn_proto::records::InvalidKey> for ClientError {
    fn from(error: cairn_proto::records::InvalidKey) -> Self {
        Self::InvalidKey { why: error.to_string() }
    }
}
