//! The metadata service of Cairn. See `DESIGN.md`.

pub mod administration;
pub mod blobs;
pub mod clock;
mod config;
mod environment;
pub mod failure;
pub mod fsck;
mod garbage;
pub mod group;
pub mod inventory;
pub mod jobs;
pub mod keys;
pub mod kv;
pub mod layouts;
mod lease;
pub mod ledger;
pub mod nodes;
pub mod office;
pub mod records;
pub mod requests;
pub mod scheduler;
mod serials;
mod server;
pub mod service;
pub mod sessions;
pub mod state;
pub mod status;
pub mod store;
mod stripes;
pub mod tenure;
pub mod transactions;
pub mod watching;

#[cfg(test)]
mod fakes;

pub use config::{Config, InvalidConfig, LogConfig, MemberConfig, TimingConfig};
pub use environment::Environment;
pub use server::{Master, RunError, run, run_in};
