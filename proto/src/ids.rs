//! Ids that cannot be mistaken for one another. Each is a UUID; on the wire, 16 bytes in network order.

use bytes::Bytes;
use uuid::Uuid;

/// Bytes that were to be an id and are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} id has {length} bytes, not 16")]
pub struct InvalidId {
    /// Which kind of id was expected.
    pub what: &'static str,
    /// How many bytes came.
    pub length: usize,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new version 7 id: unique, and rising with time.
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// From its 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its 16 bytes in network order.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// As a wire field.
            #[must_use]
            pub fn to_wire(self) -> Bytes {
                Bytes::copy_from_slice(self.0.as_bytes())
            }

            /// From a wire field of exactly 16 bytes.
            pub fn from_wire(bytes: &[u8]) -> Result<Self, InvalidId> {
                Uuid::from_slice(bytes)
                    .map(Self)
                    .map_err(|_| InvalidId { what: $what, length: bytes.len() })
            }

            /// From a wire field that may be left empty.
            pub fn from_wire_opt(bytes: &[u8]) -> Result<Option<Self>, InvalidId> {
                if bytes.is_empty() { Ok(None) } else { Self::from_wire(bytes).map(Some) }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// A cluster, for ever.
    ClusterId = "cluster";
    /// One master's disk.
    MasterId = "master";
    /// A storage node.
    NodeId = "node";
    /// One life of a node's data; a wiped or restored node gets a new one.
    IncarnationId = "incarnation";
    /// One of a node's directories, with a store of its own.
    DeviceId = "device";
    /// One life of a node's process.
    BootId = "boot";
    /// Immutable bytes.
    BlobId = "blob";
    /// Rows frozen by one seal.
    SegmentId = "segment";
    /// One replicated command.
    CommandId = "command";
}

/// Number of a client's session: the log index of its registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// One open write of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransactionId {
    /// The session it belongs to.
    pub session: SessionId,
    /// Counted up by the session, from 1.
    pub sequence: u64,
}

impl std::fmt::Display for TransactionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.session, self.sequence)
    }
}

impl From<TransactionId> for crate::wire::TransactionId {
    fn from(id: TransactionId) -> Self {
        Self { session: id.session.0, sequence: id.sequence }
    }
}

impl From<crate::wire::TransactionId> for TransactionId {
    fn from(id: crate::wire::TransactionId) -> Self {
        Self { session: SessionId(id.session), sequence: id.sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidId, SegmentId};

    #[test]
    fn an_id_survives_the_wire() {
        let id = SegmentId::generate();
        assert_eq!(SegmentId::from_wire(&id.to_wire()), Ok(id));
        assert_eq!(id.to_string().parse::<SegmentId>().unwrap(), id);
    }

    #[test]
    fn an_id_of_the_wrong_length_is_refused() {
        assert_eq!(SegmentId::from_wire(&[0; 15]), Err(InvalidId { what: "segment", length: 15 }));
        assert_eq!(SegmentId::from_wire_opt(&[]), Ok(None));
        assert!(SegmentId::from_wire_opt(&[1]).is_err());
    }
}
