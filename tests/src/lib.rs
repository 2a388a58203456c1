//! See `DESIGN.md`.

pub mod bench;
pub mod binary;
pub mod clerk;
pub mod disk_usage;
pub mod finished;
pub mod fuse;
pub mod history;
pub mod linearizability;
pub mod network;
pub mod process;
pub mod resident;
pub mod scale;
pub mod simulation;
pub mod status;
pub mod store_group;
pub mod tools;
pub mod wait;
pub mod workload;

mod dev_cluster;
mod foreground;
mod machine;
mod mount;
mod options;
mod watchdog;

pub use dev_cluster::{COMMAND_DEADLINE, DevCluster};
pub use finished::Finished;
pub use foreground::ForegroundDaemon;
pub use machine::Machine;
pub use mount::Mount;
pub use options::ClusterOptions;
pub use process::Process;
