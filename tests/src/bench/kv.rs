//! The key-value service beside etcd's: the same requests by the same clients to a cluster of each.

mod cairn_client;
mod comparison;
mod contestant;
mod error;
mod etcd_client;
mod etcd_members;
mod load;
mod measurement;
mod report;
mod service_client;
mod tokens;
mod worker;

pub use comparison::{KvOptions, compare_kv};
pub use error::KvError;
pub use measurement::Measurement;
pub use report::KvReport;
