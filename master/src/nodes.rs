//! Storage nodes: what the record says of each, what its heartbeats say, and orders to it.

mod admissions;
mod beats;
mod client;
mod device_room;
mod events;
mod grpc_client;
mod health;
mod intending;
mod intent;
mod joining;
mod manager;
mod member;
mod newcomers;
mod orders;
mod polling;
mod registering;
mod scrubs;
mod standing;
mod table;
#[cfg(test)]
mod tests;

pub use admissions::Admissions;
pub use client::NodeClient;
pub use grpc_client::GrpcNodeClient;
pub use health::{Flaw, Health, NodeTiming};
pub use intent::{Intent, decide_intent};
pub use joining::{JoinDecision, decide_join};
pub use manager::Nodes;
pub use member::Member;
pub use orders::{OrderError, Orders};
pub use standing::{PlaceStanding, Standings};
pub use table::NodeTable;
