//! Mutations applied exactly once: the reply is written by the same command that does the work.

mod request_id;
mod runner;

pub use request_id::RequestId;
pub use runner::{Reply, Requests};
