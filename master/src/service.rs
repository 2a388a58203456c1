//! The gRPC services of a master: they check, ask a manager, and turn failures into refusals.

mod admin;
mod desk;
mod kv;
mod metadata;
mod node_admin;
mod raft;
mod registry;

pub use admin::AdminService;
pub use kv::KeyValueService;
pub use metadata::MetadataService;
pub use node_admin::NodeAdminService;
pub use raft::RaftService;
pub use registry::RegistryService;
