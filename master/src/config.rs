//! What a master is started with.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use cairn_codec::{InvalidLayout, Layout};
use serde::Deserialize;

use crate::nodes::NodeTiming;
use crate::scheduler::Score;
use crate::store::LogOptions;
use crate::tenure::Settings;

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

/// Times of everything that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimingConfig {
    /// How long a lease lasts without an extension.
    #[serde(with = "humantime_serde")]
    pub lease_period: Duration,
    /// How often the lease is extended.
    #[serde(with = "humantime_serde")]
    pub lease_extension: Duration,
    /// How much longer than the period a contender waits.
    #[serde(with = "humantime_serde")]
    pub lease_buffer: Duration,
    /// Time from one heartbeat of a session to the next.
    #[serde(with = "humantime_serde")]
    pub session_heartbeat: Duration,
    /// Silence after which a session ends.
    #[serde(with = "humantime_serde")]
    pub session_timeout: Duration,
    /// Time from one heartbeat of a node to the next.
    #[serde(with = "humantime_serde")]
    pub node_heartbeat: Duration,
    /// Silence after which nothing new is placed on a node.
    #[serde(with = "humantime_serde")]
    pub node_suspect: Duration,
    /// Silence after which a node's chunks count as missing.
    #[serde(with = "humantime_serde")]
    pub node_dead: Duration,
    /// How long a deleted blob stays, at least.
    #[serde(with = "humantime_serde")]
    pub collection_grace: Duration,
    /// How long a dead node may be away before its chunks are rebuilt elsewhere.
    #[serde(with = "humantime_serde")]
    pub repair_grace: Duration,
}

impl Default for TimingConfig {
    fn default() -> Self {
        Self {
            lease_period: Duration::from_secs(2),
            lease_extension: Duration::from_millis(500),
            lease_buffer: Duration::from_millis(300),
            session_heartbeat: Duration::from_secs(1),
            session_timeout: Duration::from_secs(30),
            node_heartbeat: Duration::from_millis(500),
            node_suspect: Duration::from_secs(2),
            node_dead: Duration::from_secs(5),
            collection_grace: Duration::from_secs(30),
            repair_grace: Duration::from_mins(10),
        }
    }
}

fn default_layout() -> String {
    Layout::DEFAULT.to_string()
}

fn default_cell_size() -> ByteSize {
    ByteSize::b(Layout::DEFAULT.cell_size_bytes() as u64)
}

fn default_stripe_size() -> ByteSize {
    ByteSize::b(Layout::DEFAULT.stripe_size_bytes())
}

/// Entries between two snapshots that make sense: each writes the state's changes out, and a restart reads so many.
const SNAPSHOT_EVERY_ENTRIES: RangeInclusive<u64> = 100..=1_000_000;
/// Entries that may be kept.
const KEEP_ENTRIES_LIMIT: u64 = 10_000_000;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// The layout is none.
    #[error("layout: {0}")]
    Layout(#[from] InvalidLayout),
    /// The address cannot be listened at.
    #[error("listen = {listen:?}: {why}")]
    Listen {
        /// As written.
        listen: String,
        /// What is wrong.
        why: String,
    },
    /// The address is outside loopback.
    #[error(
        "listen = {listen:?} is reachable from other machines, and there is no authentication yet: anybody who reaches \
         the port can read and delete everything. Listen at 127.0.0.1, or set insecure = true (--insecure) on a \
         network that you trust"
    )]
    NotLoopback {
        /// As written.
        listen: String,
    },
    /// The group makes no sense.
    #[error("members: {0}")]
    Members(String),
    /// Bounds of the log that cannot work.
    #[error(
        "log: snapshot_every_entries must be from {} to {}, keep_entries not less than it and at most {KEEP_ENTRIES_LIMIT}",
        SNAPSHOT_EVERY_ENTRIES.start(), SNAPSHOT_EVERY_ENTRIES.end()
    )]
    Log,
    /// Times that cannot work together.
    #[error("timing: {0}")]
    Timing(&'static str),
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
            session_heartbeat: timing.session_heartbeat,
            session_timeout: timing.session_timeout,
            nodes: NodeTiming {
                heartbeat: timing.node_heartbeat,
                suspect: timing.node_suspect,
                dead: timing.node_dead,
            },
            collection_grace: timing.collection_grace,
        })
    }
}

fn narrow(chunks: usize) -> u32 {
    u32::try_from(chunks).expect("a layout has at most 255 chunks")
}

#[cfg(test)]
mod tests {
    use super::{Config, InvalidConfig, LogOptions};
    use std::time::Duration;

    fn config(lines: &str) -> Config {
        let members = "[[members]]\nid = 1\nname = \"master-1\"\naddress = \"127.0.0.1:7001\"\n";
        let text = format!("id = 1\nname = \"master-1\"\ndir = \"d\"\n{lines}\n{members}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn a_short_file_has_the_defaults() {
        let config = config("listen = \"127.0.0.1:7001\"");
        let settings = config.settings().unwrap();
        assert_eq!(settings.default_layout, cairn_codec::Layout::DEFAULT);
        assert_eq!(settings.session_timeout, Duration::from_secs(30));
        assert_eq!(config.own_member().unwrap().address, "127.0.0.1:7001");
        assert!(config.listen_address().unwrap().ip().is_loopback());
    }

    #[test]
    fn every_field_can_be_written() {
        let config = config(
            "listen = \"127.0.0.1:0\"\nlayout = \"2+1\"\ncell_size = \"128KiB\"\nstripe_size = \"32MiB\"\n\
             placement = \"best-fit\"\ntiming = { session_timeout = \"10s\", collection_grace = \"10s\" }",
        );
        let settings = config.settings().unwrap();
        assert_eq!((settings.default_layout.data(), settings.default_layout.cell_size_bytes()), (2, 128 << 10));
        assert_eq!(settings.session_timeout, Duration::from_secs(10));
    }

    #[test]
    fn listening_outside_loopback_needs_a_word() {
        let refused = config("listen = \"0.0.0.0:7001\"").listen_address().unwrap_err();
        assert!(matches!(refused, InvalidConfig::NotLoopback { .. }));
        assert!(refused.to_string().contains("--insecure"), "{refused}");
        assert!(config("listen = \"0.0.0.0:7001\"\ninsecure = true").listen_address().is_ok());
        assert!(matches!(config("listen = \"nonsense\"").listen_address(), Err(InvalidConfig::Listen { .. })));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let layout = config("listen = \"127.0.0.1:0\"\nlayout = \"0+2\"").settings();
        assert!(matches!(layout, Err(InvalidConfig::Layout(_))));
        let timing = config("listen = \"127.0.0.1:0\"\ntiming = { node_dead = \"1s\" }").settings();
        assert!(matches!(timing, Err(InvalidConfig::Timing(_))));
        let mut other = config("listen = \"127.0.0.1:0\"");
        other.id = 7;
        assert!(matches!(other.own_member(), Err(InvalidConfig::Members(_))));
    }

    #[test]
    fn the_bounds_of_the_log_can_be_set_and_are_checked() {
        let bounds = |keep: u64, every: u64| {
            let log = format!("log = {{ keep_entries = {keep}, snapshot_every_entries = {every} }}");
            config(&format!("listen = \"127.0.0.1:0\"\n{log}")).log_options()
        };
        assert_eq!(bounds(1000, 500).unwrap().keep_entries, 1000);
        assert_eq!(config("listen = \"127.0.0.1:0\"").log_options().unwrap(), LogOptions::default());
        for (keep, every) in [(1000, 0), (1000, 99), (499, 500), (u64::MAX, 500), (u64::MAX, u64::MAX)] {
            assert!(matches!(bounds(keep, every), Err(InvalidConfig::Log)), "{keep} {every}");
        }
    }

    #[test]
    fn a_master_founds_a_group_or_joins_one() {
        let joining = |lines: &str| -> Config {
            let text = format!("id = 4\nname = \"master-4\"\ndir = \"d\"\nlisten = \"127.0.0.1:7004\"\n{lines}");
            toml::from_str(&text).unwrap()
        };
        assert_eq!(joining("join = [\"a:1\"]").own_member().unwrap().address, "127.0.0.1:7004");
        let named = joining("join = [\"a:1\"]\naddress = \"master-4.example:7004\"");
        assert_eq!(named.own_member().unwrap().address, "master-4.example:7004");
        assert!(matches!(joining("").own_member(), Err(InvalidConfig::Members(_))));
        let both = config("listen = \"127.0.0.1:0\"\njoin = [\"a:1\"]");
        assert!(matches!(both.own_member(), Err(InvalidConfig::Members(_))));
    }
}
