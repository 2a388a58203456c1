use std::time::Duration;

use cairn_proto::ids::BootId;
use cairn_proto::records::{ChunkPlace, Node};
use cairn_proto::wire::{self, NodeState};
use tokio::time::Instant;

use super::device_room::{DeviceRoom, reserve};
use super::events::Conditions;
use super::health::{Health, NodeTiming};
use crate::scheduler::Candidate;

/// A node that refuses writes with less room than this is full. Nodes refuse before their last MiB is used.
const FULL_BELOW_BYTES: u64 = 2 << 20;

/// A registered node: its record, and what heartbeats say.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// As it stands in the replicated state, but for the boot, which a heartbeat may know better.
    pub node: Node,
    /// What heartbeats say.
    pub health: Health,
    /// When its maintenance is over, by the monotonic clock of this master.
    pub maintenance_ends: Option<Instant>,
    /// Which conditions were last compared with its events, and when.
    pub(super) noted: Option<(Conditions, Instant)>,
}

impl Member {
    /// A node as its record is read or written at `now`, when the wall clock says `unix_ms`.
    pub fn new(node: Node, health: Health, now: Instant, unix_ms: u64) -> Self {
        let maintenance_ends = node.maintenance.map(|maintenance| now + rest(&maintenance, unix_ms));
        Self { node, health, maintenance_ends, noted: None }
    }

    /// What the node is now.
    pub fn state(&self, now: Instant, timing: &NodeTiming) -> NodeState {
        self.health.state(self.intended(now), now, timing)
    }

    /// What its record is to say: as before while this master has still to hear of it for the first time, or for the
    /// first time in its new life.
    pub fn recordable_state(&self, now: Instant, timing: &NodeTiming) -> NodeState {
        if self.health.is_awaited(self.node.state, now, timing) { self.node.state } else { self.state(now, timing) }
    }

    /// What it is to be now: a maintenance that is over binds nobody, although its record still stands.
    pub fn intended(&self, now: Instant) -> NodeState {
        if self.maintenance_is_over(now) { NodeState::Active } else { self.node.intended_state }
    }

    /// Whether its record tells of a maintenance that is over.
    pub fn maintenance_is_over(&self, now: Instant) -> bool {
        self.node.intended_state == NodeState::Maintenance && self.maintenance_ends.is_none_or(|ends| ends <= now)
    }

    /// The node as clients and people see it.
    pub fn info(&self, reserved_bytes: u64, now: Instant, timing: &NodeTiming) -> wire::NodeInfo {
        let mut node = self.node.clone();
        node.state = self.state(now, timing);
        if let Some(stats) = self.health.stats() {
            node.devices.clone_from(&stats.devices);
        }
        reserve(&mut node.devices, reserved_bytes);
        wire::NodeInfo::from(&node)
    }

    /// The node as the scheduler sees it, or why nothing new may be placed on it.
    pub fn candidate(&self, reserved_bytes: u64, now: Instant, timing: &NodeTiming) -> Result<Candidate, String> {
        let room = DeviceRoom::of(self.devices(), reserved_bytes);
        let (free_bytes, largest_free_bytes) = match self.health.why_not_placeable(self.state(now, timing)) {
            None => (room.free_bytes, room.largest_bytes),
            Some(_) if self.is_full(now, timing) => (0, 0),
            Some(why) => return Err(why),
        };
        let (node, limit_bytes) = (self.node.id, room.limit_bytes);
        Ok(Candidate { node, free_bytes, largest_free_bytes, limit_bytes, locality: self.locality() })
    }

    /// The node as one that keeps a chunk already, for the spread of the next.
    pub fn keeper(&self) -> Candidate {
        let (node, locality) = (self.node.id, self.locality());
        Candidate { node, free_bytes: 0, largest_free_bytes: 0, limit_bytes: 0, locality }
    }

    /// Its labels, widest failure domain first.
    pub fn locality(&self) -> Vec<(String, String)> {
        self.node.locality.iter().map(|label| (label.key.clone(), label.value.clone())).collect()
    }

    /// Whether it would take writes if it had room: it serves, but not more than it holds.
    fn is_full(&self, now: Instant, timing: &NodeTiming) -> bool {
        let refuses = self.health.stats().is_some_and(|stats| !stats.refusing_writes.is_empty());
        refuses && self.state(now, timing) == NodeState::Active && self.device_room().largest_bytes < FULL_BELOW_BYTES
    }

    /// Room in all and room not used, over its devices.
    pub fn room(&self) -> (u64, u64) {
        let room = self.device_room();
        (room.limit_bytes, room.free_bytes)
    }

    /// The same, and on one of them, before anything is reserved.
    fn device_room(&self) -> DeviceRoom {
        DeviceRoom::of(self.devices(), 0)
    }

    fn devices(&self) -> &[wire::Device] {
        self.health.stats().map_or(&[], |stats| &stats.devices)
    }

    /// Where a chunk put on it now would lie.
    pub fn place(&self) -> ChunkPlace {
        ChunkPlace { node: self.node.id, incarnation: self.node.incarnation }
    }

    /// Whether a node that joins is the process, on the data and at the address, that this is.
    pub fn is_same_life(&self, joining: &Node) -> bool {
        let known = &self.node;
        known.boot == joining.boot && known.incarnation == joining.incarnation && known.address == joining.address
    }

    /// The life of its process.
    pub fn boot(&self) -> BootId {
        self.node.boot
    }
}

/// What is left of a maintenance for a master that learns of it now. A wall clock that is wrong ends it early, or has it
/// last as long again at most.
fn rest(maintenance: &wire::Maintenance, unix_ms: u64) -> Duration {
    Duration::from_millis(maintenance.until_ms.saturating_sub(unix_ms).min(maintenance.duration_ms))
}

#[cfg(test)]
mod tests {
    use super::rest;
    use cairn_proto::wire::Maintenance;

    #[test]
    fn a_maintenance_lasts_no_longer_than_it_was_asked_for_whatever_the_wall_clock_says() {
        let maintenance = Maintenance { duration_ms: 600, until_ms: 10_600, until_joined: false };
        let rest_at = |unix_ms| rest(&maintenance, unix_ms).as_millis();
        assert_eq!([10_000, 10_500, 10_600, 99_999, 0].map(rest_at), [600, 100, 0, 0, 600]);
    }
}
