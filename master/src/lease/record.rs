use cairn_proto::ids::{BootId, InvalidId, MasterId};
use cairn_proto::wire;
use tokio::time::Instant;

use crate::store::Epoch;

/// One life of one master's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// Its disk.
    pub(crate) master: MasterId,
    /// Its process.
    pub(crate) boot: BootId,
}

/// The lease as it stands in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseRecord {
    /// The holder's disk.
    pub(crate) leader: MasterId,
    /// The life of the holder's process: an epoch belongs to one life.
    pub(crate) boot: BootId,
    /// Counts how often the lease has changed hands. A restarted process is another hand.
    pub(crate) epoch: Epoch,
    /// Milliseconds since 1970 on the holder's clock, for people.
    pub(crate) start_at_ms: u64,
    /// The same, for the end. Not after the start: the holder has released the lease.
    pub(crate) end_at_ms: u64,
    /// Number of writes of the record so far.
    pub(crate) version: u64,
    /// Raft id of the holder.
    pub(crate) master: u64,
    /// `host:port` the holder serves at.
    pub(crate) address: String,
}

/// A stored lease that no master writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub(crate) struct InvalidLease(#[from] InvalidId);

impl LeaseRecord {
    /// True if this life of a master has written it.
    pub(crate) fn is_of(&self, life: Life) -> bool {
        self.leader == life.master && self.boot == life.boot
    }

    /// True once the holder has given it up.
    pub(crate) fn is_released(&self) -> bool {
        self.end_at_ms <= self.start_at_ms
    }

    /// From its message.
    pub(crate) fn from_wire(lease: wire::LeaderLease) -> Result<Self, InvalidLease> {
        Ok(Self {
            leader: MasterId::from_wire(&lease.leader)?,
            boot: BootId::from_wire(&lease.boot)?,
            epoch: Epoch(lease.epoch),
            start_at_ms: lease.start_at_ms,
            end_at_ms: lease.end_at_ms,
            version: lease.version,
            master: lease.master,
            address: lease.address,
        })
    }

    /// As its message.
    pub(crate) fn to_wire(&self) -> wire::LeaderLease {
        wire::LeaderLease {
            leader: self.leader.to_wire(),
            boot: self.boot.to_wire(),
            epoch: self.epoch.0,
            start_at_ms: self.start_at_ms,
            end_at_ms: self.end_at_ms,
            version: self.version,
            master: self.master,
            address: self.address.clone(),
        }
    }
}

/// A lease that this master has applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenLease {
    /// What it says.
    pub(crate) record: LeaseRecord,
    /// Log index of the command that wrote it.
    pub(crate) version: u64,
    /// When this master applied it, by its own clock.
    pub(crate) seen_at: Instant,
}
