//! Copies that reach their nodes by way of another node, as the masters' transfer plan says.

use std::collections::HashMap;
use std::sync::Arc;

use cairn_codec::Layout;
use cairn_proto::wire;

use super::segment_writer::Parts;
use super::target::{PlannedTarget, Target};
use super::target_state::TargetState;
use super::target_stream::TargetStream;

/// The targets with the transfer plan, in which only copies are relayed, and only by nodes that are sent to.
pub(super) fn planned(
    layout: &Layout,
    targets: Vec<Option<Target>>,
    relayed: &[wire::RelayedChunk],
) -> Result<Vec<Option<PlannedTarget>>, &'static str> {
    if layout.data() > 1 && !relayed.is_empty() {
        return Err("chunks to relay that are no copies");
    }
    let via: HashMap<usize, usize> =
        relayed.iter().map(|relayed| (relayed.chunk as usize, relayed.via_chunk as usize)).collect();
    let is_target = |chunk: &usize| targets.get(*chunk).is_some_and(Option::is_some);
    if !via.iter().all(|(chunk, entry)| is_target(chunk) && is_target(entry) && !via.contains_key(entry)) {
        return Err("a chunk to relay by way of none");
    }
    let plan = |(chunk, target): (usize, Option<Target>)| {
        Some(PlannedTarget { target: target?, via_chunk: via.get(&chunk).copied() })
    };
    Ok(targets.into_iter().enumerate().map(plan).collect())
}

impl Parts {
    /// The copies to which the node of a chunk passes its cells on.
    pub(super) fn relays_of(&self, chunk: usize) -> Vec<wire::RelayTarget> {
        let relayed = |state: &TargetState| match state {
            TargetState::Relayed { target, via_chunk } if *via_chunk == chunk => Some(target.as_relay()),
            _ => None,
        };
        self.targets.iter().filter_map(relayed).collect()
    }

    /// From here on nothing is relayed any more. Whether there is a chunk to seal that was.
    pub(super) fn start_relayed(&mut self) -> bool {
        let mut some = false;
        for state in &mut self.targets {
            if let TargetState::Relayed { target, .. } = &*state {
                let stream = TargetStream::start(target.clone(), Vec::new(), Arc::clone(&self.connection.nodes));
                *state = TargetState::Started(target.clone(), stream);
                some = true;
            }
        }
        some
    }

    /// Counts chunks as lost whose cells went by way of a lost node: some may have been lost with it.
    pub(super) fn cut_off(&mut self) {
        let lost_entry = |via_chunk: usize| {
            let entry = &self.targets[via_chunk];
            entry.failure().map(|_| entry.target().map(|target| target.name.clone()).unwrap_or_default())
        };
        let entry_of = |state: &TargetState| match state {
            TargetState::Relayed { via_chunk, .. } => lost_entry(*via_chunk),
            _ => None,
        };
        let entries: Vec<Option<String>> = self.targets.iter().map(entry_of).collect();
        for (state, entry) in self.targets.iter_mut().zip(entries) {
            if let (TargetState::Relayed { target, .. }, Some(entry)) = (&*state, entry) {
                *state = TargetState::CutOff { target: target.clone(), entry };
            }
        }
    }
}
