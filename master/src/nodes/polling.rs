use std::collections::HashSet;
use std::sync::Arc;

use cairn_proto::ids::{BootId, NodeId, SegmentId};
use cairn_proto::records::Node;
use cairn_proto::wire::{self, NodeState};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Member;
use super::beats::BeatSchedule;
use super::health::{Flaw, Stats};
use super::manager::Nodes;

/// Damaged chunks that are kept of one answer; a node names the others once these are repaired.
const FLAWS_LIMIT: usize = 256;

/// What a node answered.
enum Word {
    Anew(BootId, Stats),
    /// Nothing has changed but what changes all the time.
    Unchanged {
        version: u64,
        sealed_chunks: u64,
        scrub: wire::ScrubStatus,
    },
}

impl Nodes {
    /// Asks every node how it is, over and over, until told to stop. A node that is slow to answer is not asked again
    /// before it has answered or its time is over, and holds up no other.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut asking: JoinSet<NodeId> = JoinSet::new();
        let wanted = |member: &Member| member.node.intended_state != NodeState::Removed;
        let mut first_round: HashSet<NodeId> = self.table.pick(|member| wanted(member).then_some(member.node.id));
        let mut beats = BeatSchedule::new(self.clock.now(), self.timing.heartbeat);
        for id in &first_round {
            beats.hurry(*id, self.clock.now());
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = reached(beats.next_wake()) => self.ask_due(&mut beats, &mut asking),
                joined = self.newcomers.next() => joined.iter().for_each(|id| beats.hurry(*id, self.clock.now())),
                Some(done) = asking.join_next() => match done {
                    Ok(id) => {
                        beats.answered(id, self.clock.now());
                        first_round.remove(&id);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a heartbeat ended early");
                        beats.all_answered(self.clock.now());
                        first_round.clear();
                    }
                },
            }
            if first_round.is_empty() {
                self.first_round_done.send_if_modified(|done| !std::mem::replace(done, true));
            }
        }
    }

    fn ask_due(self: &Arc<Self>, beats: &mut BeatSchedule, asking: &mut JoinSet<NodeId>) {
        let now = self.clock.now();
        for id in beats.take_due(now) {
            if self.is_registered(id) {
                let nodes = Arc::clone(self);
                asking.spawn(async move {
                    nodes.ask(id).await;
                    id
                });
            } else {
                // Its removal may still be taken back.
                beats.answered(id, now);
            }
        }
    }

    /// Keeps the records of the nodes in step with what heartbeats say, until told to stop. Apart from the heartbeats,
    /// so that a slow commit makes no node look silent.
    pub async fn keep_records(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.timing.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.record_changes().await,
            }
        }
    }

    /// Asks every node once and records what that changes.
    #[cfg(test)]
    pub(crate) async fn round(&self) {
        let ids: Vec<NodeId> = self.table.pick(|member| Some(member.node.id));
        futures_util::future::join_all(ids.iter().map(|id| self.ask(*id))).await;
        self.first_round_done.send_replace(true);
        self.record_changes().await;
    }

    /// Asks one node how it is. An answer of another node, or of another life of its data, is none: it has to join.
    pub(super) async fn ask(&self, id: NodeId) {
        let Some(Member { node, health, .. }) = self.table.get(id) else { return };
        let answer = self.orders.get_stats(&node, health.known_version(), self.timing.suspect).await;
        let word = answer.map_err(|error| error.to_string()).and_then(|answer| checked(&node, answer));
        let now = self.clock.now();
        match word {
            Ok(word) => self.table.update(id, |member| {
                if member.node.incarnation == node.incarnation {
                    note(member, word, now);
                }
            }),
            Err(error) => {
                tracing::debug!(node = %node.name, %error, "no heartbeat");
                self.table.update(id, |member| member.health.missed());
            }
        }
    }

    /// Writes the record of every node whose state has changed, and what nodes say of themselves into their events.
    pub(super) async fn record_changes(&self) {
        self.record_states().await;
        self.note_conditions().await;
    }

    async fn record_states(&self) {
        let now = self.clock.now();
        let changed = |member: &Member| {
            let is_over = member.maintenance_is_over(now);
            let has_changed = member.recordable_state(now, &self.timing) != member.node.state;
            (is_over || has_changed).then(|| (member.node.id, member.node.name.clone(), is_over))
        };
        let changed: Vec<_> = self.table.pick(changed);
        for (id, name, is_over) in changed {
            if is_over && let Err(error) = self.end_maintenance(id).await {
                tracing::warn!(node = %name, %error, "cannot record the end of a maintenance");
            }
            if let Err(error) = self.record_state(id).await {
                tracing::warn!(node = %name, %error, "cannot record the state of a node");
            }
        }
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn note(member: &mut Member, word: Word, now: Instant) {
    match word {
        Word::Anew(boot, stats) => {
            member.node.boot = boot;
            member.health.heard(now, stats);
        }
        Word::Unchanged { version, sealed_chunks, scrub } => {
            member.health.heard_unchanged(now, version, sealed_chunks, scrub);
        }
    }
}

fn checked(node: &Node, answer: wire::GetStatsResponse) -> Result<Word, String> {
    let wire::GetStatsResponse { sealed_chunks, refusing_writes, scrub, version, .. } = answer;
    let scrub = scrub.unwrap_or_default();
    if answer.unchanged {
        return Ok(Word::Unchanged { version, sealed_chunks, scrub });
    }
    let info = answer.node.ok_or("an answer without a node")?;
    if info.id != node.id.as_bytes().as_slice() || info.incarnation != node.incarnation.as_bytes().as_slice() {
        return Err("another node, or another life of its data, answers there".to_owned());
    }
    let boot = BootId::from_wire(&info.boot).map_err(|error| error.to_string())?;
    let flaw = |damaged: wire::DamagedChunk| {
        let segment = SegmentId::from_wire(&damaged.segment).ok()?;
        Some(Flaw { segment, chunk: damaged.chunk_index as usize })
    };
    let flaws = answer.damaged.into_iter().take(FLAWS_LIMIT).filter_map(flaw).collect();
    Ok(Word::Anew(boot, Stats { devices: info.devices, refusing_writes, sealed_chunks, scrub, flaws, version }))
}
