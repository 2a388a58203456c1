use std::collections::{BTreeMap, HashMap};

use cairn_proto::ids::{IncarnationId, NodeId};
use cairn_proto::records::{Blob, BlobState, Segment};

use super::Holdings;
use crate::failure::StateError;
use crate::keys;
use crate::records::RepairRecord;
use crate::state::{State, decode, decode_blob, decode_segment};

/// The nodes whose chunks count, each with the current life of its data.
pub type Lives = HashMap<NodeId, IncarnationId>;

/// Counts over every record of one view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Keys.
    pub keys: u64,
    /// Bytes of live blobs.
    pub stored_bytes: u64,
    /// Live blobs by the number of chunks that each of their segments can still lose.
    pub redundancy: BTreeMap<u32, u64>,
    /// Live blobs that cannot be read now.
    pub lost_blobs: u64,
    /// Segments queued for repair.
    pub pending_repairs: u64,
    /// What lies where.
    pub holdings: Holdings,
}

/// Counts everything in a view. An empty blob can lose as many chunks as `spare_when_empty` says.
pub fn take_census(state: &State<'_>, lives: &Lives, spare_when_empty: u32) -> Result<Census, StateError> {
    let mut census = Census::default();
    state.each(keys::KEYS, |_, _| {
        census.keys += 1;
        Ok(())
    })?;
    state.each(keys::REPAIRS, |key, found| {
        // One that names no missing chunk is of a chunk being moved.
        let record: RepairRecord = decode(key, &found.record)?;
        census.pending_repairs += u64::from(!record.chunks.is_empty());
        Ok(())
    })?;
    state.each(keys::SEGMENTS, |key, found| {
        census.holdings.add(&decode_segment(key, &found.record)?);
        Ok(())
    })?;
    state.each(keys::BLOBS, |key, found| {
        let blob = decode_blob(key, &found.record)?;
        if blob.state == BlobState::Live {
            census.stored_bytes += blob.size_bytes;
            match spare_of_blob(state, &blob, lives, spare_when_empty)? {
                Some(spare) => *census.redundancy.entry(spare).or_default() += 1,
                None => census.lost_blobs += 1,
            }
        }
        Ok(())
    })?;
    Ok(census)
}

/// Chunks that the blob's weakest segment can lose; `None` if too few are left already.
fn spare_of_blob(
    state: &State<'_>,
    blob: &Blob,
    lives: &Lives,
    spare_when_empty: u32,
) -> Result<Option<u32>, StateError> {
    let mut least = None;
    let mut before = None;
    for extent in &blob.extents {
        if before.replace(extent.segment) == Some(extent.segment) {
            continue;
        }
        let segment = state.segment(extent.segment)?;
        let Some(spare) = segment.and_then(|found| spare_of_segment(&found.record, lives)) else {
            return Ok(None);
        };
        least = Some(least.map_or(spare, |least: u32| least.min(spare)));
    }
    Ok(Some(least.unwrap_or(spare_when_empty)))
}

/// Chunks that a segment can lose. A chunk without cells is never missing.
fn spare_of_segment(segment: &Segment, lives: &Lives) -> Option<u32> {
    let there = segment.chunks.iter().filter(|chunk| {
        let alive = |place: &cairn_proto::records::ChunkPlace| lives.get(&place.node) == Some(&place.incarnation);
        chunk.cells == 0 || chunk.place.as_ref().is_some_and(alive)
    });
    u32::try_from(there.count()).ok()?.checked_sub(segment.layout.data)
}
