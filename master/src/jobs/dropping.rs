use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::records::{Blob, BlobState, ChunkPlace, Segment};
use cairn_proto::wire;

use crate::failure::{DamagedRecord, StateError};
use crate::garbage::{garbage_places, garbage_record};
use crate::keys;
use crate::records::GarbageRecord;
use crate::state::{State, damaged, encode, unchanged};
use crate::store::{Command, Expected};

/// What it takes to drop a deleted blob.
#[derive(Debug)]
pub struct Dropping {
    /// Drops its record, counts its segments down, and makes garbage of those that no blob uses any more.
    pub command: Command,
    /// Its segments: no client may have one of them open.
    pub segments: Vec<SegmentId>,
}

/// Plans the end of a blob that was marked deleted at `index`.
pub fn plan_drop(state: &State<'_>, index: u64, id: BlobId) -> Result<Dropping, StateError> {
    let mut command = Command::new();
    command.require(keys::deleted(index), Expected::Present);
    command.delete(keys::deleted(index));
    let blob = state.blob(id)?;
    let Some(found) = &blob else {
        return Ok(Dropping { command, segments: Vec::new() });
    };
    if !matches!(found.record.state, BlobState::Deleted { .. }) {
        return Err(damaged(&keys::deleted(index), &format!("blob {id} is live")).into());
    }
    command.require(keys::blob(id), unchanged(blob.as_ref()));
    command.delete(keys::blob(id));
    let segments = segments_of(&found.record);
    for segment in &segments {
        release(state, *segment, &mut command)?;
    }
    Ok(Dropping { command, segments })
}

fn segments_of(blob: &Blob) -> Vec<SegmentId> {
    let mut segments: Vec<SegmentId> = blob.extents.iter().map(|extent| extent.segment).collect();
    segments.sort_unstable();
    segments.dedup();
    segments
}

/// One use less; with none left the record goes, and with it any repair, and the chunks become garbage.
fn release(state: &State<'_>, id: SegmentId, command: &mut Command) -> Result<(), StateError> {
    let segment = state.segment(id)?;
    let Some(found) = &segment else {
        return Err(damaged(&keys::segment(id), &"a blob uses it and it is not there").into());
    };
    if found.record.uses > 1 {
        let left = Segment { uses: found.record.uses - 1, ..found.record.clone() };
        command.put_if(keys::segment(id), encode(&wire::Segment::from(&left)), unchanged(segment.as_ref()));
        return Ok(());
    }
    command.require(keys::segment(id), unchanged(segment.as_ref()));
    command.delete(keys::segment(id));
    command.delete(keys::repair(id));
    let before = state.message::<GarbageRecord>(&keys::garbage(id))?;
    let mut places: Vec<ChunkPlace> = match &before {
        Some(record) => places_of(id, &record.record)?,
        None => Vec::new(),
    };
    for place in found.record.chunks.iter().filter_map(|chunk| chunk.place) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    if !places.is_empty() {
        command.put_if(keys::garbage(id), encode(&garbage_record(places)), unchanged(before.as_ref()));
    }
    Ok(())
}

/// The places of the garbage record of a segment.
pub(super) fn places_of(id: SegmentId, record: &GarbageRecord) -> Result<Vec<ChunkPlace>, DamagedRecord> {
    garbage_places(record).map_err(|error| damaged(&keys::garbage(id), &error))
}
