//! Chunks that are damaged where they are: their nodes say that cells are missing or corrupt, or do not have them at all.
//! Nothing of them is on record: a node says so until they are repaired, to whoever is elected, and what a node does not
//! have is found again.

use std::collections::HashMap;

use cairn_proto::ids::SegmentId;
use cairn_proto::records::{ChunkPlace, Segment};

use super::planning::Rebuilding;
use super::work::{Next, RETRY_AFTER};
use super::{Damage, Reconstruction};
use crate::failure::{Failure, StateError};
use crate::nodes::Flaw;
use crate::state::State;

impl Reconstruction {
    /// A record names a chunk at a node that answers and does not have it: it is made there again.
    pub fn note_absent(&self, place: ChunkPlace, flaw: Flaw) {
        if self.absent.lock().add(place, flaw) {
            let (segment, chunk, node) = (flaw.segment, flaw.chunk, place.node);
            tracing::error!(%segment, chunk, %node, "a node does not have a chunk that is on record there");
            self.wanted.notify_one();
        }
    }

    /// What is damaged at nodes that answer.
    fn flaws(&self) -> Vec<(ChunkPlace, Flaw)> {
        let mut flaws = self.nodes.flaws();
        flaws.extend(self.absent.lock().flaws());
        flaws.retain(|(place, _)| self.standing(*place).is_readable());
        flaws
    }

    /// Queues the segments that are damaged where they are.
    pub(super) fn look_at_flaws(&self) -> Result<(), StateError> {
        let mut segments: HashMap<SegmentId, Vec<(ChunkPlace, Flaw)>> = HashMap::new();
        for (place, flaw) in self.flaws() {
            segments.entry(flaw.segment).or_default().push((place, flaw));
        }
        if segments.is_empty() {
            return Ok(());
        }
        let view = self.ledger.view()?;
        let (state, now) = (State(view.as_ref()), self.clock.now());
        for (id, flaws) in segments {
            if self.queue.lock().has(id) {
                continue;
            }
            let found = state.segment(id)?.map(|found| found.record);
            let Some(segment) = found.filter(|segment| flawed_chunk(segment, &flaws).is_some()) else {
                self.absent.lock().forget(id);
                continue;
            };
            let damage = self.damage(&segment);
            let flaws = i64::try_from(flaws.len()).expect("no segment has so many chunks");
            self.queue.lock().push(id, &Damage { spare: damage.spare - flaws, ..damage }, now);
        }
        Ok(())
    }

    /// Has a damaged chunk of a segment put right at its node; `None` if there is none.
    pub(super) async fn mend_damaged(&self, id: SegmentId) -> Result<Option<Next>, Failure> {
        let (found, read_at) = {
            let view = self.ledger.view()?;
            (State(view.as_ref()).segment(id)?, view.applied_index())
        };
        let Some(segment) = found.map(|found| found.record) else { return Ok(None) };
        let Some(chunk) = flawed_chunk(&segment, &self.flaws()) else { return Ok(None) };
        let Some(target) = segment.chunks[chunk].place else { return Ok(None) };
        let whole = self.damage(&segment);
        let damage = Damage { spare: whole.spare - 1, ..whole };
        let mending = Rebuilding { segment, chunk, target, damage: damage.clone() };
        match self.order(&mending, read_at, true).await {
            Ok(read_bytes) => {
                self.nodes.mended(target.node, id);
                if self.absent.lock().made(id, target) {
                    self.status.rebuilt_one(mending.segment.chunks[chunk].length_bytes, read_bytes);
                }
                // Looked at once more: further chunks may be damaged.
                Ok(Some(Next::Soon(damage)))
            }
            Err(why) => {
                tracing::warn!(segment = %id, chunk, node = %target.node, why, "a damaged chunk was not put right");
                Ok(Some(Next::Later(damage, RETRY_AFTER)))
            }
        }
    }

    /// What is missing beside damaged cells.
    fn damage(&self, segment: &Segment) -> Damage {
        let whole = || Damage { spare: i64::from(segment.layout.code), ..Damage::default() };
        Damage::of(segment, |place| self.standing(place)).unwrap_or_else(whole)
    }
}

/// A chunk that its node says is damaged, and that lies there by the record.
fn flawed_chunk(segment: &Segment, flaws: &[(ChunkPlace, Flaw)]) -> Option<usize> {
    let is_recorded = |place: ChunkPlace, flaw: Flaw| {
        flaw.segment == segment.id && segment.chunks.get(flaw.chunk).is_some_and(|chunk| chunk.place == Some(place))
    };
    flaws.iter().find(|(place, flaw)| is_recorded(*place, *flaw)).map(|(_, flaw)| flaw.chunk)
}
