use std::collections::HashSet;
use std::sync::Arc;

use cairn_proto::ids::{BootId, NodeId, SegmentId};
use cairn_proto::records::Node;
use cairn_proto::wire::{self, NodeState};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::health::{Flaw, Stats};
use super::manager::Nodes;

/// Damaged chunks that are kept of one answer; a node names the others once these are repaired.
const FLAWS_LIMIT: usize = 256;

impl Nodes {
    /// Asks every node how it is, over and over, until told to stop. A node that is slow to answer is not asked again
    /// before it has answered or its time is over, and holds up no other.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.timing.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asking: JoinSet<NodeId> = JoinSet::new();
        let mut asked: HashSet<NodeId> = HashSet::new();
        let registered = self.table.all().into_iter().map(|member| member.node);
        let mut first_round: HashSet<NodeId> =
            registered.filter(|node| node.intended_state != NodeState::Removed).map(|node| node.id).collect();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => self.ask_all(&mut asking, &mut asked),
                () = self.poke.notified() => self.ask_all(&mut asking, &mut asked),
                Some(done) = asking.join_next() => match done {
                    Ok(id) => {
                        asked.remove(&id);
                        first_round.remove(&id);
                    }
                    Err(error) => {
                        tracing::error!(%error, "a heartbeat ended early");
                        asked.clear();
                        first_round.clear();
                    }
                },
            }
            if first_round.is_empty() {
                self.first_round_done.send_if_modified(|done| !std::mem::replace(done, true));
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

    fn ask_all(self: &Arc<Self>, asking: &mut JoinSet<NodeId>, asked: &mut HashSet<NodeId>) {
        for member in self.table.all() {
            let wanted = member.node.intended_state != NodeState::Removed;
            if wanted && asked.insert(member.node.id) {
                let nodes = Arc::clone(self);
                asking.spawn(async move {
                    nodes.ask(&member.node).await;
                    member.node.id
                });
            }
        }
    }

    /// Asks every node once and records what that changes.
    #[cfg(test)]
    pub(crate) async fn round(&self) {
        let nodes: Vec<Node> = self.table.all().into_iter().map(|member| member.node).collect();
        futures_util::future::join_all(nodes.iter().map(|node| self.ask(node))).await;
        self.first_round_done.send_replace(true);
        self.record_changes().await;
    }

    /// Asks one node how it is. An answer of another node, or of another life of its data, is none: it has to join.
    pub(super) async fn ask(&self, node: &Node) {
        let answer = self.orders.get_stats(node, self.timing.suspect).await;
        let heard = answer.map_err(|error| error.to_string()).and_then(|answer| checked(node, answer));
        match heard {
            Ok((boot, stats)) => {
                let now = self.clock.now();
                self.table.update(node.id, |member| {
                    if member.node.incarnation == node.incarnation {
                        member.node.boot = boot;
                        member.health.heard(now, stats);
                    }
                });
            }
            Err(error) => {
                tracing::debug!(node = %node.name, %error, "no heartbeat");
                self.table.update(node.id, |member| member.health.missed());
            }
        }
    }

    /// Writes the record of every node whose state has changed.
    pub(super) async fn record_changes(&self) {
        let now = self.clock.now();
        for member in self.table.all() {
            if member.maintenance_is_over(now)
                && let Err(error) = self.end_maintenance(member.node.id).await
            {
                tracing::warn!(node = %member.node.name, %error, "cannot record the end of a maintenance");
            }
            if member.state(now, &self.timing) != member.node.state
                && let Err(error) = self.record_state(member.node.id).await
            {
                tracing::warn!(node = %member.node.name, %error, "cannot record the state of a node");
            }
        }
    }
}

fn checked(node: &Node, answer: wire::GetStatsResponse) -> Result<(BootId, Stats), String> {
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
    let wire::GetStatsResponse { sealed_chunks, refusing_writes, scrub, .. } = answer;
    let (devices, scrub) = (info.devices, scrub.unwrap_or_default());
    Ok((boot, Stats { devices, refusing_writes, sealed_chunks, scrub, flaws }))
}
