//! What a master is started with.

mod invalid_config;
mod timing_config;

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use bytesize::ByteSize;
use cairn_codec::Layout;
use serde::Deserialize;

pub use invalid_config::InvalidConfig;
pub use timing_config::TimingConfig;

use crate::blobs::Overwrite;
use crate::jobs::RepairSettings;
use crate::nodes::NodeTiming;
use crate::scheduler::Score;
use crate::store::LogOptions;
use crate::tenure::Settings;

/// Entries between two snapshots that make sense: each writes the state's changes out, and a restart reads so many.
const SNAPSHOT_EVERY_ENTRIES: RangeInclusive<u64> = 100..=1_000_000;
/// Entries that may be kept.
const KEEP_ENTRIES_LIMIT: u64 = 10_000_000;

/// The configuration file of a master (TOML).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Its Raft id, from 1. Never given to another disk.
    pub id: u64,
    /// Its name, for people.
    pub name: String,
    /// Where it keeps its log and state.
    pub dir: PathBuf,
    /// `host:port` to listen at.
    pub listen: String,
    /// Allows listening outside loopback, where anybody who reaches the port can read and delete everything.
    #[serde(default)]
    pub insecure: bool,
    /// Default layout of new segments: `data+code`.
    #[serde(default = "default_layout")]
    pub layout: String,
    /// Default cell size.
    #[serde(default = "default_cell_size")]
    pub cell_size: ByteSize,
    /// Default stripe size.
    #[serde(default = "default_stripe_size")]
    pub stripe_size: ByteSize,
    /// Which of equally spread nodes new segments go to.
    #[serde(default)]
    pub placement: Score,
    /// Labels that name a datacenter. Copies (layouts of one data chunk) are sent once into each but the writer's, and
    /// passed on there by the node they reach. Empty: all are sent by the writer.
    #[serde(default = "default_datacenter_labels")]
    pub datacenter_labels: Vec<String>,
    /// What all repairs together may read from nodes in a second; as much as nodes allow themselves where none is named.
    #[serde(default)]
    pub repair_bandwidth: Option<ByteSize>,
    /// What becomes of a key that exists when a file is written under it. The elected master's counts: give all
    /// masters the same.
    #[serde(default)]
    pub overwrite: Overwrite,
    /// The masters that a new group starts with, this one among them; the same on all. Empty: this one is to be added
    /// to a group, by `join`.
    #[serde(default)]
    pub members: Vec<MemberConfig>,
    /// Masters of the group that this one is to be added to (`host:port`; a DNS name stands for all its addresses). It
    /// then waits for `cairn master add`.
    #[serde(default)]
    pub join: Vec<String>,
    /// With `join`: `host:port` that masters, nodes and clients reach this one at; `listen` if left out.
    #[serde(default)]
    pub address: Option<String>,
    /// Times.
    #[serde(default)]
    pub timing: TimingConfig,
    /// Bounds of the Raft log.
    #[serde(default)]
    pub log: LogConfig,
}

/// How much of the Raft log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Entries kept behind a snapshot, so that a master that was away for a moment goes on from the log.
    pub keep_entries: u64,
    /// Entries after which a snapshot is taken; not more than are kept.
    pub snapshot_every_entries: u64,
}

impl Default for LogConfig {
    fn default() -> Self {
        let LogOptions { keep_entries, snapshot_every_entries } = LogOptions::default();
        Self { keep_entries, snapshot_every_entries }
    }
}

/// One master of the initial group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// Its Raft id.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// `host:port` that masters, nodes and clients reach it at.
    pub address: String,
}

fn default_layout() -> String {
    Layout::DEFAULT.to_string()
}

fn default_cell_size() -> ByteSize {
    ByteSize::b(Layout::DEFAULT.cell_size_bytes() as u64)
}

fn default_datacenter_labels() -> Vec<String> {
    ["datacenter", "dc"].map(str::to_owned).to_vec()
}

fn default_stripe_size() -> ByteSize {
    ByteSize::b(Layout::DEFAULT.stripe_size_bytes())
}

impl Config {
    /// The address to listen at, checked: loopback, unless other machines may come in.
    pub fn listen_address(&self) -> Result<SocketAddr, InvalidConfig> {
        let invalid = |why: String| InvalidConfig::Listen { listen: self.listen.clone(), why };
        let addresses: Vec<SocketAddr> =
            self.listen.to_socket_addrs().map_err(|error| invalid(error.to_string()))?.collect();
        let first = *addresses.first().ok_or_else(|| invalid("no such host".to_owned()))?;
        if !self.insecure && addresses.iter().any(|address| !address.ip().is_loopback()) {
            return Err(InvalidConfig::NotLoopback { listen: self.listen.clone() });
        }
        Ok(first)
    }

    /// The default layout, checked.
    pub fn default_layout(&self) -> Result<Layout, InvalidConfig> {
        let layout: Layout = self.layout.parse()?;
        let cell_size_bytes = u32::try_from(self.cell_size.as_u64()).unwrap_or(u32::MAX);
        let (data, code) = (narrow(layout.data()), narrow(layout.code()));
        Ok(Layout::new(data, code, cell_size_bytes, self.stripe_size.as_u64())?)
    }

    /// This master as others see it, after checking all of the group's configuration.
    pub fn own_member(&self) -> Result<MemberConfig, InvalidConfig> {
        let invalid = |why: String| InvalidConfig::Members(why);
        if self.id == 0 || self.members.iter().any(|member| member.id == 0) {
            return Err(invalid("ids start at 1".to_owned()));
        }
        if self.members.is_empty() == self.join.is_empty() {
            return Err(invalid("give either members (a new group) or join (an existing one)".to_owned()));
        }
        for (index, member) in self.members.iter().enumerate() {
            if self.members[..index].iter().any(|other| other.id == member.id || other.address == member.address) {
                return Err(invalid(format!("id {} or address {} is there twice", member.id, member.address)));
            }
        }
        if self.members.is_empty() {
            let address = self.address.clone().unwrap_or_else(|| self.listen.clone());
            return Ok(MemberConfig { id: self.id, name: self.name.clone(), address });
        }
        if self.address.is_some() {
            return Err(invalid("address goes with join; with members it stands there".to_owned()));
        }
        let own = self.members.iter().find(|member| member.id == self.id).cloned();
        own.ok_or_else(|| invalid(format!("this master's id {} is not among them", self.id)))
    }

    /// The bounds of the log, checked.
    pub fn log_options(&self) -> Result<LogOptions, InvalidConfig> {
        let LogConfig { keep_entries, snapshot_every_entries } = self.log;
        let sound = SNAPSHOT_EVERY_ENTRIES.contains(&snapshot_every_entries)
            && (snapshot_every_entries..=KEEP_ENTRIES_LIMIT).contains(&keep_entries);
        if sound { Ok(LogOptions { keep_entries, snapshot_every_entries }) } else { Err(InvalidConfig::Log) }
    }

    /// What the managers are set up with, checked.
    pub fn settings(&self) -> Result<Settings, InvalidConfig> {
        let timing = &self.timing;
        if timing.lease_extension >= timing.lease_period || timing.lease_extension.is_zero() {
            return Err(InvalidConfig::Timing("lease_extension must be shorter than lease_period"));
        }
        if timing.session_heartbeat >= timing.session_timeout || timing.session_heartbeat.is_zero() {
            return Err(InvalidConfig::Timing("session_heartbeat must be shorter than session_timeout"));
        }
        let rising = timing.node_heartbeat < timing.node_suspect && timing.node_suspect < timing.node_dead;
        if !rising || timing.node_heartbeat.is_zero() {
            return Err(InvalidConfig::Timing("node_heartbeat, node_suspect and node_dead must rise"));
        }
        Ok(Settings {
            default_layout: self.default_layout()?,
            score: self.placement,
            datacenter_labels: self.datacenter_labels.clone(),
            overwrite: self.overwrite,
            session_heartbeat: timing.session_heartbeat,
            session_timeout: timing.session_timeout,
            nodes: NodeTiming {
                heartbeat: timing.node_heartbeat,
                suspect: timing.node_suspect,
                dead: timing.node_dead,
            },
            collection_grace: timing.collection_grace,
            repair: RepairSettings {
                grace: timing.repair_grace,
                bytes_per_second: self.repair_bandwidth.map_or(0, |limit| limit.as_u64().max(1)),
                score: self.placement,
            },
            orphan_sweep_period: timing.orphan_sweep_period,
        })
    }
}

fn narrow(chunks: usize) -> u32 {
    u32::try_from(chunks).expect("a layout has at most 255 chunks")
}

#[cfg(test)]
mod tests;
