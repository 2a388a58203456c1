//! The gRPC contract of Cairn: generated messages, typed ids, and what a refusal carries.

pub mod ids;
pub mod records;
mod refusal;
mod stats_versions;
pub mod storage;
pub mod transport;

pub use refusal::{Refusal, WireRefusal};
pub use stats_versions::StatsVersions;

/// Messages and services generated from `proto/cairn/v1`. Nothing in here is checked yet.
#[allow(missing_docs, clippy::pedantic, clippy::large_enum_variant, unreachable_pub)]
pub mod wire {
    tonic::include_proto!("cairn.v1");
}

/// Bytes that one gRPC message may have on any service but the bulk ones.
pub const MESSAGE_LIMIT_BYTES: usize = 4 << 20;

/// Bytes that one gRPC message with cells may have: the largest cell frame, or a batch, and its envelope.
pub const BULK_MESSAGE_LIMIT_BYTES: usize = 16 << 20;
