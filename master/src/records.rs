//! What the masters alone keep in the replicated store: the messages of records that never leave them.
//! The field numbers are part of the format.

use bytes::Bytes;
use cairn_proto::wire::NodeEvent;

/// A live session.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SessionRecord {
    /// For people: where it was opened.
    #[prost(string, tag = "1")]
    pub host: String,
    /// For people: what opened it.
    #[prost(string, tag = "2")]
    pub purpose: String,
    /// Milliseconds since 1970, for people.
    #[prost(uint64, tag = "3")]
    pub opened_at_ms: u64,
}

/// The answer to one mutation, kept until the client has it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SlotRecord {
    /// The request.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// What it was answered.
    #[prost(oneof = "Outcome", tags = "2, 3")]
    pub outcome: Option<Outcome>,
}

/// How a mutation ended.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Outcome {
    /// Applied: the encoded reply, its `applied_index` left out (it is the version of the slot).
    #[prost(bytes = "bytes", tag = "2")]
    Reply(Bytes),
    /// Refused for good.
    #[prost(message, tag = "3")]
    Refusal(RefusalRecord),
}

/// A refusal, as its status goes over the wire.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RefusalRecord {
    /// gRPC code.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// For people.
    #[prost(string, tag = "2")]
    pub message: String,
    /// Encoded details.
    #[prost(bytes = "bytes", tag = "3")]
    pub details: Bytes,
}

/// A blob marked deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct DeletedRecord {
    /// Its id.
    #[prost(bytes = "bytes", tag = "1")]
    pub blob: Bytes,
}

/// Where chunks of a segment are to be deleted.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct GarbageRecord {
    /// The places.
    #[prost(message, repeated, tag = "1")]
    pub places: Vec<PlaceRecord>,
}

/// One life of a node's data.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlaceRecord {
    /// The node.
    #[prost(bytes = "bytes", tag = "1")]
    pub node: Bytes,
    /// The life.
    #[prost(bytes = "bytes", tag = "2")]
    pub incarnation: Bytes,
}

/// Chunks of a segment to rebuild.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RepairRecord {
    /// Indexes of the missing chunks.
    #[prost(uint32, repeated, tag = "1")]
    pub chunks: Vec<u32>,
    /// Milliseconds since 1970, for people.
    #[prost(uint64, tag = "2")]
    pub noticed_at_ms: u64,
    /// Where one of the missing chunks is being rebuilt: cells may lie there.
    #[prost(message, optional, tag = "3")]
    pub target: Option<PlaceRecord>,
    /// Its index.
    #[prost(uint32, tag = "4")]
    pub target_chunk: u32,
    /// It is moved to even nodes out: its place is left although nothing is wrong with it.
    #[prost(bool, tag = "5")]
    pub is_rebalanced: bool,
}

/// What happened to a node.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NodeEventsRecord {
    /// The latest, the oldest first.
    #[prost(message, repeated, tag = "1")]
    pub events: Vec<NodeEvent>,
}

/// What an administrator wants of the rebalancing.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RebalanceRecord {
    /// Nothing is moved.
    #[prost(bool, tag = "1")]
    pub stopped: bool,
}

/// A session that ended; its nodes are to be told.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RevocationRecord {
    /// Milliseconds since 1970, for people.
    #[prost(uint64, tag = "1")]
    pub ended_at_ms: u64,
    /// Whether it timed out instead of being closed.
    #[prost(bool, tag = "2")]
    pub timed_out: bool,
}

/// How far the orphan sweep is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SweepRecord {
    /// The node that is looked through; those with lower ids are done.
    #[prost(bytes = "bytes", tag = "1")]
    pub node: Bytes,
    /// The segment up to which it was; empty at its beginning.
    #[prost(bytes = "bytes", tag = "2")]
    pub after: Bytes,
}

/// A number on its own: `serial` and `cluster_epoch`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NumberRecord {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub value: u64,
}
