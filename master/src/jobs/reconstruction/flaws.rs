//! Chunks of which their nodes say that cells are missing or corrupt. Nothing of them is on record: a node says so until
//! they are repaired, to whoever is elected.

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
    /// Queues the segments that nodes report as damaged.
    pub(super) fn look_at_flaws(&self) -> Result<(), StateError> {
        let mut segments: HashMap<SegmentId, Vec<(ChunkPlace, Flaw)>> = HashMap::new();
        for (place, flaw) in self.nodes.flaws() {
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
            let Some(found) = state.segment(id)? else { continue };
            if flawed_chunk(&found.record, &flaws).is_some() {
                let damage = self.damage(&found.record);
                let flaws = i64::try_from(flaws.len()).expect("no segment has so many chunks");
                self.queue.lock().push(id, &Damage { spare: damage.spare - flaws, ..damage }, now);
            }
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
        let Some(chunk) = flawed_chunk(&segment, &self.nodes.flaws()) else { return Ok(None) };
        let Some(target) = segment.chunks[chunk].place else { return Ok(None) };
        let whole = self.damage(&segment);
        let damage = Damage { spare: whole.spare - 1, ..whole };
        let mending = Rebuilding { segment, chunk, target, damage: damage.clone() };
        match self.order(&mending, read_at, true).await {
            Ok(_) => {
                self.nodes.mended(target.node, id);
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
