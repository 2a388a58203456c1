use cairn_proto::records::{Blob, BlobState, ChunkPlace, Segment};
use cairn_proto::wire::NodeState;

use crate::failure::StateError;
use crate::keys;
use crate::state::{State, decode_blob, decode_segment};

/// What the removal of a node takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovalCost {
    /// Chunks with cells that records name there.
    pub chunks: u64,
    /// Live blobs with such a chunk.
    pub blobs: u64,
    /// Those of them of which too little is left, even if every other node comes back.
    pub lost_blobs: u64,
}

/// Why a node is not removed, and what comes first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemovalHindrance {
    /// It is in service.
    #[error("{name} is in service; empty it first: cairn node drain {name} --yes")]
    InService {
        /// Its name.
        name: String,
    },
    /// It is silent, and not for long.
    #[error("{name} does not answer, and may come back; ask again when it is dead, or start it and drain it")]
    Silent {
        /// Its name.
        name: String,
    },
    /// Something counts there.
    #[error("{name} still has {chunks} chunks; wait until it is drained: cairn node list")]
    HasChunks {
        /// Its name.
        name: String,
        /// So many.
        chunks: u64,
    },
    /// Something may come to count there.
    #[error("files that are being written may still count on {name}; ask again soon: cairn node list")]
    HasWriters {
        /// Its name.
        name: String,
    },
    /// It is dead, and what is there would be given up.
    #[error(
        "{name} is dead and has {chunks} chunks of {blobs} blobs, {lost_blobs} of which would be lost for ever; wait until \
             they are rebuilt (cairn heal status), or give them up with --force"
    )]
    DeadWithChunks {
        /// Its name.
        name: String,
        /// Chunks there.
        chunks: u64,
        /// Blobs that have them.
        blobs: u64,
        /// Blobs that cannot be read without.
        lost_blobs: u64,
    },
}

impl RemovalHindrance {
    /// What stands against the removal of a node that is in a state and is to be in another.
    pub fn of(
        name: &str,
        state: NodeState,
        intended: NodeState,
        cost: RemovalCost,
        may_be_written: bool,
    ) -> Option<Self> {
        let name = name.to_owned();
        let RemovalCost { chunks, blobs, lost_blobs } = cost;
        match state {
            NodeState::Dead if chunks > 0 => Some(Self::DeadWithChunks { name, chunks, blobs, lost_blobs }),
            NodeState::Removed | NodeState::Dead => None,
            NodeState::Suspect => Some(Self::Silent { name }),
            _ if intended != NodeState::Draining => Some(Self::InService { name }),
            _ if chunks > 0 => Some(Self::HasChunks { name, chunks }),
            _ if may_be_written => Some(Self::HasWriters { name }),
            _ => None,
        }
    }

    /// Whether an administrator may go on all the same.
    pub fn can_be_forced(&self) -> bool {
        matches!(self, Self::DeadWithChunks { .. })
    }
}

/// Counts what lies at a place, and what of it the chunks at other places that may be read do not make up for.
pub fn take_removal_cost(
    state: &State<'_>,
    place: ChunkPlace,
    may_be_read: &impl Fn(ChunkPlace) -> bool,
) -> Result<RemovalCost, StateError> {
    let mut cost = RemovalCost::default();
    state.each(keys::SEGMENTS, |key, found| {
        cost.chunks += u64::from(has_chunk_at(&decode_segment(key, &found.record)?, place));
        Ok(())
    })?;
    if cost.chunks == 0 {
        return Ok(cost);
    }
    state.each(keys::BLOBS, |key, found| {
        let blob = decode_blob(key, &found.record)?;
        if blob.state == BlobState::Live {
            let (has_chunk, is_lost) = look_at(state, &blob, place, may_be_read)?;
            cost.blobs += u64::from(has_chunk);
            cost.lost_blobs += u64::from(has_chunk && is_lost);
        }
        Ok(())
    })?;
    Ok(cost)
}

/// Whether a blob has a chunk at a place, and whether it cannot be read without.
fn look_at(
    state: &State<'_>,
    blob: &Blob,
    place: ChunkPlace,
    may_be_read: &impl Fn(ChunkPlace) -> bool,
) -> Result<(bool, bool), StateError> {
    let (mut has_chunk, mut is_lost) = (false, false);
    let mut before = None;
    for extent in &blob.extents {
        if before.replace(extent.segment) == Some(extent.segment) {
            continue;
        }
        if let Some(found) = state.segment(extent.segment)?
            && has_chunk_at(&found.record, place)
        {
            has_chunk = true;
            is_lost |= is_lost_without(&found.record, may_be_read);
        }
    }
    Ok((has_chunk, is_lost))
}

fn has_chunk_at(segment: &Segment, place: ChunkPlace) -> bool {
    segment.chunks.iter().any(|chunk| chunk.cells > 0 && chunk.place == Some(place))
}

fn is_lost_without(segment: &Segment, may_be_read: &impl Fn(ChunkPlace) -> bool) -> bool {
    let left = segment.chunks.iter().filter(|chunk| chunk.cells == 0 || chunk.place.is_some_and(may_be_read));
    left.count() < segment.layout.data as usize
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire::NodeState::{Active, Dead, Draining, Maintenance, Suspect};

    use super::{RemovalCost, RemovalHindrance};

    #[test]
    fn only_what_is_empty_or_dead_goes_and_only_the_dead_by_force() {
        let none = RemovalCost::default();
        let some = RemovalCost { chunks: 3, blobs: 2, lost_blobs: 1 };
        let of = |state, intended, cost, written| RemovalHindrance::of("node-1", state, intended, cost, written);
        for (state, intended) in [(Active, Active), (Suspect, Draining), (Maintenance, Maintenance)] {
            let hindrance = of(state, intended, none, false).unwrap();
            assert!(!hindrance.can_be_forced(), "{hindrance}");
        }
        assert_eq!(of(Draining, Draining, none, false), None);
        assert!(of(Draining, Draining, none, true).is_some());
        assert!(of(Draining, Draining, some, false).is_some_and(|hindrance| !hindrance.can_be_forced()));
        assert_eq!(of(Dead, Active, none, true), None);
        let dead = of(Dead, Active, some, false).unwrap();
        assert!(dead.can_be_forced() && dead.to_string().contains("1 of which would be lost for ever"), "{dead}");
    }
}
