//! Why a service refuses, as a value that crosses the wire and can be matched on the other side.
//!
//! A refusal travels as a gRPC status whose details carry a `google.rpc.ErrorInfo` of domain `cairn`:
//! the reason is the variant, the metadata its fields. A status without one is a transport failure.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Domain of the error details.
const DOMAIN: &str = "cairn";
/// Bytes of a field that travel; the longest key is half as long. Message and details lie in headers, of which a peer
/// takes 16 KiB and ends the connection over more.
const FIELD_LIMIT_BYTES: usize = 2048;
/// The end of a field that was cut.
const CUT_MARK: &str = "…";

/// A refusal on its way out, or a status that carries none.
#[derive(Debug, thiserror::Error)]
pub enum WireRefusal {
    /// The service refused and says why.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The call failed below the service: connection, deadline, overload.
    #[error("{}: {}", .0.code(), .0.message())]
    Transport(Box<Status>),
}

impl From<Status> for WireRefusal {
    fn from(status: Status) -> Self {
        match Refusal::from_status(&status) {
            Some(refusal) => Self::Refused(refusal),
            None => Self::Transport(Box::new(status)),
        }
    }
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $variant:ident $(($($field:ident),+))? = $reason:literal, $code:ident, $message:literal;)*) => {
        /// Why a service refused. The text is for people: cause first, then the next step where there is one.
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub enum Refusal {
            $(
                $(#[$doc])*
                #[error($message)]
                $variant $({ $(
                    #[doc = concat!("Field `", stringify!($field), "` of the message.")]
                    $field: String
                ),+ })?,
            )*
        }

        impl Refusal {
            /// The stable name of the variant on the wire.
            #[must_use]
            pub fn reason(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $reason,)* }
            }

            /// The gRPC code that programs without our details see.
            #[must_use]
            pub fn code(&self) -> Code {
                match self { $(Self::$variant { .. } => Code::$code,)* }
            }

            fn cut(self) -> Self {
                match self { $(Self::$variant $({ $($field),+ })? => Self::$variant $({ $($field: cut($field)),+ })?,)* }
            }

            fn metadata(&self) -> HashMap<String, String> {
                match self { $(
                    Self::$variant $({ $($field),+ })? => HashMap::from([
                        $($((stringify!($field).to_owned(), $field.clone())),+)?
                    ]),
                )* }
            }

            fn from_parts(reason: &str, metadata: &HashMap<String, String>) -> Option<Self> {
                let _field = |name: &str| metadata.get(name).cloned();
                match reason {
                    $($reason => Some(Self::$variant $({ $($field: _field(stringify!($field))?),+ })?),)*
                    _ => None,
                }
            }

            #[cfg(test)]
            fn one_of_each() -> Vec<Self> {
                vec![$(Self::$variant $({ $($field: format!("some {}", stringify!($field))),+ })?,)*]
            }
        }
    };
}

refusals! {
    /// This master is not the elected one; `elected` is its address, or empty when none is known.
    NotElected(elected) = "NOT_ELECTED", Unavailable, "not the elected master (elected: {elected})";
    /// This master does not lead Raft; `leader` is the address of the one that does, or empty when none is known.
    NotLeading(leader) = "NOT_LEADING", Unavailable, "not the master that leads Raft (leading: {leader})";
    /// The sender is no member of the group, for ever: removed, or another disk under a member's id.
    NotMember(why) = "NOT_MEMBER", FailedPrecondition, "no member of the group: {why}";
    /// The message is meant for another disk that has, or had, this master's id.
    WrongDisk(disk) = "WRONG_DISK", FailedPrecondition, "meant for disk {disk}";
    /// The group of masters cannot be changed so.
    GroupRefused(why) = "GROUP_REFUSED", FailedPrecondition, "{why}";
    /// The service is starting, or has just lost its standing; worth asking again soon.
    NotReady(why) = "NOT_READY", Unavailable, "not ready: {why}";
    /// The peer belongs to another cluster.
    ForeignCluster(ours, theirs) = "FOREIGN_CLUSTER", PermissionDenied, "belongs to cluster {theirs}, this is {ours}";
    /// A field that no correct peer would send.
    InvalidRequest(why) = "INVALID_REQUEST", InvalidArgument, "invalid request: {why}";

    /// The session timed out or was closed; its transactions are aborted.
    SessionExpired(session) = "SESSION_EXPIRED", FailedPrecondition, "session {session} has expired";
    /// The client has no record any more, so whether the request ran cannot be told.
    OutcomeUnknown(why) = "OUTCOME_UNKNOWN", Aborted, "outcome unknown: {why}";

    /// The key exists and must not.
    KeyExists(key) = "KEY_EXISTS", AlreadyExists, "key {key:?} exists";
    /// The key does not exist.
    KeyNotFound(key) = "KEY_NOT_FOUND", NotFound, "no key {key:?}";
    /// The key no longer points at the blob the client named.
    KeyChanged(key) = "KEY_CHANGED", Aborted, "key {key:?} was changed by someone else";
    /// Changes of keys up to index `lost` are not kept any more, so a watcher that wants them reads the keys again.
    HistoryLost(lost) = "HISTORY_LOST", OutOfRange, "changes up to index {lost} are not kept any more; read the keys again";
    /// As many watchers as one master serves are there.
    TooManyWatchers(limit) = "TOO_MANY_WATCHERS", ResourceExhausted, "{limit} others watch keys at this master, which is all it serves";
    /// Not a valid key.
    InvalidKey(why) = "INVALID_KEY", InvalidArgument, "invalid key: {why}";
    /// The value of a key of the key-value service would be longer than it may be.
    ValueTooLong(key, limit) = "VALUE_TOO_LONG", OutOfRange, "the value of {key:?} would be longer than {limit} bytes";
    /// No blob of that id, or it is deleted.
    BlobNotFound(blob) = "BLOB_NOT_FOUND", NotFound, "no blob {blob}";
    /// The layout is invalid.
    InvalidLayout(why) = "INVALID_LAYOUT", InvalidArgument, "invalid layout: {why}";

    /// Too few nodes serve writes; `missing` names those that do not.
    TooFewNodes(needed, serving, missing) = "TOO_FEW_NODES", Unavailable,
        "{serving} nodes serve writes, the layout needs {needed} (not serving: {missing})";
    /// This cannot be done to a node as things are; says why, and what comes first.
    NodeRefused(why) = "NODE_REFUSED", FailedPrecondition, "{why}";
    /// The nodes that serve have no room.
    NoSpace(what) = "NO_SPACE", ResourceExhausted, "no space left: {what}";

    /// The order's epochs are lower than the highest this node has seen.
    StaleOrder(seen) = "STALE_ORDER", FailedPrecondition, "a newer master has given orders here ({seen})";
    /// The request is for another life of this node's data.
    WrongIncarnation(current) = "WRONG_INCARNATION", FailedPrecondition, "the node's data is now incarnation {current}";
    /// The request is for another life of this node's process; its unsealed cells are gone.
    WrongBoot(current) = "WRONG_BOOT", FailedPrecondition, "the node restarted; boot is now {current}";
    /// The session is not, or no longer, admitted on this node.
    NotAdmitted(session) = "NOT_ADMITTED", FailedPrecondition, "session {session} is not admitted here";
    /// The segment is sealed and takes no more cells.
    AlreadySealed(segment) = "ALREADY_SEALED", FailedPrecondition, "segment {segment} is sealed";
    /// What was stored is not what the writer says it sent.
    SealMismatch(why) = "SEAL_MISMATCH", DataLoss, "seal refused: {why}";
    /// The node refuses writes: full, or its disk fails.
    NodeRefusesWrites(why) = "NODE_REFUSES_WRITES", ResourceExhausted, "node refuses writes: {why}";
    /// A frame that arrived damaged, or with the wrong identity.
    DamagedCell(why) = "DAMAGED_CELL", DataLoss, "damaged cell: {why}";
    /// The chunk, or the cell asked for, is not here.
    ChunkNotFound(segment) = "CHUNK_NOT_FOUND", NotFound, "segment {segment} has no such chunk or cell here";
    /// The chunk here is another than the master's record names.
    ChunkStale(segment) = "CHUNK_STALE", DataLoss, "segment {segment} differs here from the master's record";
    /// A chunk could not be made from the others of its segment.
    RebuildFailed(why) = "REBUILD_FAILED", Unavailable, "the chunk cannot be rebuilt now: {why}";
    /// A stored cell failed its checks.
    CellCorrupt(cell) = "CELL_CORRUPT", DataLoss, "stored cell is corrupt: {cell}";
}

impl Refusal {
    /// The refusal that a status carries, if it carries one.
    #[must_use]
    pub fn from_status(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        if info.domain != DOMAIN {
            return None;
        }
        Self::from_parts(&info.reason, &info.metadata)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let refusal = refusal.cut();
        let details = ErrorDetails::with_error_info(refusal.reason(), DOMAIN, refusal.metadata());
        Status::with_error_details(refusal.code(), refusal.to_string(), details)
    }
}

fn cut(mut field: String) -> String {
    if field.len() > FIELD_LIMIT_BYTES {
        field.truncate(field.floor_char_boundary(FIELD_LIMIT_BYTES - CUT_MARK.len()));
        field.push_str(CUT_MARK);
    }
    field
}

impl From<crate::ids::InvalidId> for Refusal {
    fn from(error: crate::ids::InvalidId) -> Self {
        Self::InvalidRequest { why: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, WireRefusal};
    use tonic::Status;

    #[test]
    fn every_refusal_survives_the_wire() {
        for refusal in Refusal::one_of_each() {
            assert_eq!(Refusal::from_status(&Status::from(refusal.clone())), Some(refusal));
        }
    }

    #[test]
    fn a_long_refusal_is_cut_to_what_the_headers_of_an_answer_may_hold() {
        for missing in ["node-1 (dead), ".repeat(10_000), "ключ".repeat(10_000)] {
            let refusal = Refusal::TooFewNodes { needed: "5".into(), serving: "4".into(), missing: missing.clone() };
            let status = Status::from(refusal);
            let mut headers = tonic::codegen::http::HeaderMap::new();
            status.add_header(&mut headers).unwrap();
            let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
            assert!(bytes < 16 << 10, "{bytes} bytes of headers");
            let Some(Refusal::TooFewNodes { missing: told, .. }) = Refusal::from_status(&status) else {
                panic!("{status:?} is another refusal");
            };
            assert!(missing.starts_with(told.strip_suffix('…').unwrap()), "{told}");
        }
    }

    #[test]
    fn a_plain_status_is_a_transport_failure() {
        assert!(matches!(WireRefusal::from(Status::unavailable("gone")), WireRefusal::Transport(_)));
    }
}
