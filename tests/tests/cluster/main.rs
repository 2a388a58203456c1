//! End-to-end tests: real daemons, a real kernel mount, the programs people use.
//!
//! One binary, so that its tests share the machine by one lock. `DESIGN.md` says how to run the long versions.

#![allow(clippy::unwrap_used, reason = "all of this binary is test code, functions beside the tests included")]
#![allow(clippy::print_stdout, reason = "what a fault did is shown with a failed run")]

mod bad_names;
mod bit_rot;
mod command_line;
mod copying;
mod crash_points;
mod damaged_data;
mod datacenters;
mod dead_masters;
mod dead_nodes;
mod devices;
mod drains;
mod fsck;
mod full_nodes;
mod garbage;
mod key_value_benchmark;
mod key_values;
mod killed_comparison;
mod killed_masters;
mod killed_mount;
mod lost_targets;
mod master_failover;
mod master_membership;
mod masters_killed_at_work;
mod memory;
mod move_crash_points;
mod moved_names;
mod node_events;
mod power_cut;
mod programs;
mod rebalance;
mod refused_starts;
mod repairs;
mod restart;
mod shell;
mod space;
mod stable_listing;
mod stop_signals;
mod stopped_master;
mod stopped_node;
mod trusted_files;
mod visibility;
mod wall_clocks;
mod watching;
mod write_once;
