//! See `DESIGN.md`.

pub mod answers;
pub mod bare_cluster;
pub mod bench;
pub mod binary;
pub mod blob_load;
pub mod datacenters;
pub mod direct_requests;
pub mod disk_usage;
pub mod file_load;
pub mod finished;
pub mod fuse;
pub mod history;
pub mod linearizability;
pub mod moved_clock;
pub mod network;
pub mod node_stats;
pub mod own_hosts;
pub mod power_cut_disk;
pub mod process;
pub mod recording_client;
pub mod resident;
pub mod scale;
pub mod simulation;
pub mod status;
pub mod store_group;
pub mod tools;
pub mod value_load;
pub mod vote_request;
pub mod wait;
pub mod workload;

mod dev_cluster;
mod foreground;
mod key_watcher;
mod machine;
mod mount;
mod options;
mod watchdog;

pub use dev_cluster::{COMMAND_DEADLINE, DevCluster};
pub use finished::Finished;
pub use foreground::ForegroundDaemon;
pub use key_watcher::{KeyWatcher, WatchedChange};
pub use machine::Machine;
pub use mount::Mount;
pub use options::ClusterOptions;
pub use process::Process;
