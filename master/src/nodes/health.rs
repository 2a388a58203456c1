use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::SegmentId;
use cairn_proto::wire::{self, Device, NodeState};
use tokio::time::Instant;

/// When silence means what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeTiming {
    /// Time from one heartbeat to the next.
    pub heartbeat: Duration,
    /// Silence after which nothing new is placed on a node.
    pub suspect: Duration,
    /// Silence after which its chunks count as missing.
    pub dead: Duration,
}

/// What heartbeats say of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// When it last answered, or the election or its joining if that was later.
    last_heard: Instant,
    /// It failed to answer since; nothing new is placed on it until it answers.
    failing: bool,
    /// It announced a clean stop, and the process that did is still the current one.
    leaving: bool,
    /// What it said of itself; `None` before its first answer.
    stats: Option<Stats>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// Its disks.
    pub devices: Vec<Device>,
    /// Why it takes no writes; empty when it does.
    pub refusing_writes: String,
    /// Sealed chunks there, needed or not.
    pub sealed_chunks: u64,
    /// How it verifies what it keeps.
    pub scrub: wire::ScrubStatus,
    /// Some of its chunks that have missing or corrupt cells.
    pub flaws: Arc<[Flaw]>,
    /// By which the node names what it said of devices, writes and damage; 0 once that is not all here any more.
    pub version: u64,
}

/// A chunk of which its node says that cells are missing or corrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// Its segment.
    pub segment: SegmentId,
    /// Its place in every row.
    pub chunk: usize,
}

impl Health {
    /// A node that is given the benefit of the doubt from `now` on.
    pub fn new(now: Instant) -> Self {
        Self { last_heard: now, failing: false, leaving: false, stats: None }
    }

    /// The process it was heard from has joined once more.
    #[must_use]
    pub fn joins_again(self, now: Instant) -> Self {
        Self { last_heard: now, ..self }
    }

    /// It answered.
    pub fn heard(&mut self, now: Instant, stats: Stats) {
        self.last_heard = now;
        self.failing = false;
        self.stats = Some(stats);
    }

    /// It answered that nothing of what it once said under this version has changed. Nothing is heard if that is not
    /// what is known of it any more.
    pub fn heard_unchanged(&mut self, now: Instant, version: u64, sealed_chunks: u64, scrub: wire::ScrubStatus) {
        if let Some(stats) = self.stats.as_mut().filter(|stats| stats.version == version) {
            (stats.sealed_chunks, stats.scrub) = (sealed_chunks, scrub);
            self.last_heard = now;
            self.failing = false;
        }
    }

    /// By what it names all that is known of it; 0 if it has to say everything.
    pub fn known_version(&self) -> u64 {
        self.stats.as_ref().map_or(0, |stats| stats.version)
    }

    /// It did not answer, or not in time.
    pub fn missed(&mut self) {
        self.failing = true;
    }

    /// It announced that it stops.
    pub fn leaves(&mut self) {
        self.leaving = true;
    }

    /// Whether it has not answered yet, and is not late: what is recorded of it counts as long as nothing worse is known.
    pub fn is_awaited(&self, recorded: NodeState, now: Instant, timing: &NodeTiming) -> bool {
        let patience = if recorded == NodeState::Dead { timing.dead } else { timing.suspect };
        self.stats.is_none() && !self.leaving && self.silence(now) < patience
    }

    /// Whether it announced that it stops.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// What it last said of itself.
    pub fn stats(&self) -> Option<&Stats> {
        self.stats.as_ref()
    }

    /// A chunk of it was put right since it last answered.
    pub fn mended(&mut self, segment: SegmentId) {
        if let Some(stats) = &mut self.stats {
            stats.flaws = stats.flaws.iter().copied().filter(|flaw| flaw.segment != segment).collect();
            stats.version = 0;
        }
    }

    /// How long it has not answered.
    pub fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_heard)
    }

    /// What it is now, given what an administrator wants it to be. Active only once it has answered: whoever is told
    /// that a node is active may place chunks on it.
    pub fn state(&self, intended: NodeState, now: Instant, timing: &NodeTiming) -> NodeState {
        let silent = self.silence(now);
        if intended == NodeState::Removed {
            NodeState::Removed
        } else if silent >= timing.dead {
            NodeState::Dead
        } else if self.leaving || self.stats.is_none() || silent >= timing.suspect {
            NodeState::Suspect
        } else if intended == NodeState::Unspecified {
            NodeState::Active
        } else {
            intended
        }
    }

    /// Why nothing new is placed on it; `None` when it may be.
    pub fn why_not_placeable(&self, state: NodeState) -> Option<String> {
        if state == NodeState::Suspect && self.stats.is_none() {
            return Some("not heard yet".to_owned());
        }
        if state != NodeState::Active {
            return Some(state.as_str_name().trim_start_matches("NODE_STATE_").to_lowercase().replace('_', "-"));
        }
        match &self.stats {
            Some(said) if !said.refusing_writes.is_empty() => Some(said.refusing_writes.clone()),
            _ if self.failing => Some("not answering".to_owned()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, NodeTiming, Stats};
    use cairn_proto::ids::SegmentId;
    use cairn_proto::wire::{self, NodeState};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::Instant;

    const TIMING: NodeTiming = NodeTiming {
        heartbeat: Duration::from_millis(500),
        suspect: Duration::from_secs(2),
        dead: Duration::from_secs(5),
    };

    fn stats(refusing_writes: &str) -> Stats {
        let (scrub, flaws) = (wire::ScrubStatus::default(), Arc::default());
        let refusing_writes = refusing_writes.to_owned();
        Stats { devices: Vec::new(), refusing_writes, sealed_chunks: 0, scrub, flaws, version: 5 }
    }

    #[test]
    fn silence_makes_a_node_suspect_and_then_dead() {
        let start = Instant::now();
        let mut health = Health::new(start);
        assert_eq!(health.state(NodeState::Active, start, &TIMING), NodeState::Suspect, "never heard");
        health.heard(start, stats(""));
        let state =
            |health: &Health, seconds| health.state(NodeState::Active, start + Duration::from_secs(seconds), &TIMING);
        assert_eq!(
            [0, 1, 2, 4, 5].map(|seconds| state(&health, seconds)),
            [NodeState::Active, NodeState::Active, NodeState::Suspect, NodeState::Suspect, NodeState::Dead]
        );
        health.heard(start + Duration::from_secs(9), stats(""));
        assert_eq!(state(&health, 10), NodeState::Active);
    }

    #[test]
    fn a_node_that_has_nothing_new_to_say_is_heard_as_long_as_what_it_said_is_known() {
        let start = Instant::now();
        let mut health = Health::new(start);
        let (later, scrub) = (start + Duration::from_secs(3), wire::ScrubStatus::default);
        health.heard_unchanged(later, 5, 1, scrub());
        assert_eq!((health.stats(), health.silence(later)), (None, Duration::from_secs(3)));
        health.heard(start, stats("full"));
        health.heard_unchanged(later, health.known_version(), 7, scrub());
        assert_eq!((health.stats().unwrap().sealed_chunks, health.silence(later)), (7, Duration::ZERO));
        health.mended(SegmentId::generate());
        assert_eq!(health.known_version(), 0, "what was said last is not all there any more");
    }

    #[test]
    fn a_node_that_leaves_is_suspect_at_once_although_it_still_answers() {
        let now = Instant::now();
        let mut health = Health::new(now);
        health.leaves();
        health.heard(now, stats(""));
        assert_eq!(health.state(NodeState::Active, now, &TIMING), NodeState::Suspect);
    }

    #[test]
    fn an_administrator_decides_as_long_as_the_node_answers() {
        let now = Instant::now();
        let mut health = Health::new(now);
        health.heard(now, stats(""));
        assert_eq!(health.state(NodeState::Draining, now, &TIMING), NodeState::Draining);
        assert_eq!(health.state(NodeState::Removed, now + TIMING.dead, &TIMING), NodeState::Removed);
        assert_eq!(health.state(NodeState::Draining, now + TIMING.dead, &TIMING), NodeState::Dead);
    }

    #[test]
    fn only_an_active_node_that_answers_and_takes_writes_is_placeable() {
        let now = Instant::now();
        let mut health = Health::new(now);
        assert_eq!(health.why_not_placeable(NodeState::Suspect).as_deref(), Some("not heard yet"));
        health.heard(now, stats(""));
        assert_eq!(health.why_not_placeable(NodeState::Active), None);
        assert_eq!(health.why_not_placeable(NodeState::Dead).as_deref(), Some("dead"));
        health.missed();
        assert_eq!(health.why_not_placeable(NodeState::Active).as_deref(), Some("not answering"));
        health.heard(now, stats("full"));
        assert_eq!(health.why_not_placeable(NodeState::Active).as_deref(), Some("full"));
    }
}
