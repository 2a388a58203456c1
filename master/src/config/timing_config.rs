use std::time::Duration;

use serde::Deserialize;

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
    /// In which the inventory of every node is looked through for chunks that nothing names.
    #[serde(with = "humantime_serde")]
    pub orphan_sweep_period: Duration,
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
            orphan_sweep_period: Duration::from_hours(24),
        }
    }
}
