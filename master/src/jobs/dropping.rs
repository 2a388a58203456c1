use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::records::{Blob, BlobState, ChunkPlace, Segment};
use cairn_proto::wire;

use super::reconstruction::begun;
use crate::failure::{DamagedRecord, StateError};
use crate::garbage::{add_garbage, garbage_places};
use crate::keys;
use crate::records::{GarbageRecord, RepairRecord};
use crate::state::{State, damaged, encode};
use crate::store::StoreSession;

/// Drops a blob that was marked deleted at `index`: its record goes, its segments count down, and those that no blob
/// uses any more become garbage. Answers its segments: no client may have one of them open.
pub fn plan_drop(session: &mut StoreSession, index: u64, id: BlobId) -> Result<Vec<SegmentId>, StateError> {
    let queued = keys::deleted(index);
    if !State(session).exists(&queued)? {
        return Ok(Vec::new());
    }
    session.delete(queued.clone());
    let Some(found) = State(session).blob(id)? else {
        return Ok(Vec::new());
    };
    if !matches!(found.record.state, BlobState::Deleted { .. }) {
        return Err(damaged(&queued, &format!("blob {id} is live")).into());
    }
    session.delete(keys::blob(id));
    let segments = segments_of(&found.record);
    for segment in &segments {
        release(session, *segment)?;
    }
    Ok(segments)
}

fn segments_of(blob: &Blob) -> Vec<SegmentId> {
    let mut segments: Vec<SegmentId> = blob.extents.iter().map(|extent| extent.segment).collect();
    segments.sort_unstable();
    segments.dedup();
    segments
}

/// One use less; with none left the record goes, and with it any repair; the chunks become garbage, also one
/// that is being rebuilt.
fn release(session: &mut StoreSession, id: SegmentId) -> Result<(), StateError> {
    let Some(found) = State(session).segment(id)? else {
        return Err(damaged(&keys::segment(id), &"a blob uses it and it is not there").into());
    };
    let segment = found.record;
    if segment.uses > 1 {
        let left = Segment { uses: segment.uses - 1, ..segment };
        session.put(keys::segment(id), encode(&wire::Segment::from(&left)));
        return Ok(());
    }
    session.delete(keys::segment(id));
    let repair = keys::repair(id);
    let record = State(session).message::<RepairRecord>(&repair)?.map(|found| found.record);
    let target = begun(&repair, record.as_ref())?.map(|(_, place)| place);
    session.delete(repair);
    let places = segment.chunks.iter().filter_map(|chunk| chunk.place);
    add_garbage(session, id, places.chain(target))
}

/// The places of the garbage record of a segment.
pub(super) fn places_of(id: SegmentId, record: &GarbageRecord) -> Result<Vec<ChunkPlace>, DamagedRecord> {
    garbage_places(record).map_err(|error| damaged(&keys::garbage(id), &error))
}
