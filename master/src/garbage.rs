//! The record that orders chunks of a segment to be deleted.

use cairn_proto::ids::{IncarnationId, InvalidId, NodeId, SegmentId};
use cairn_proto::records::ChunkPlace;

use crate::failure::StateError;
use crate::keys;
use crate::records::{GarbageRecord, PlaceRecord};
use crate::state::{State, damaged, encode};
use crate::store::StoreSession;

/// Adds places to what is to be deleted of a segment.
pub(crate) fn add_garbage(
    session: &mut StoreSession,
    segment: SegmentId,
    places: impl IntoIterator<Item = ChunkPlace>,
) -> Result<(), StateError> {
    let mut all = garbage_of(&State(session), segment)?;
    let known = all.len();
    for place in places {
        if !all.contains(&place) {
            all.push(place);
        }
    }
    if all.len() > known {
        session.put(keys::garbage(segment), encode(&garbage_record(all)));
    }
    Ok(())
}

/// Where chunks of a segment are to be deleted.
pub(crate) fn garbage_of(state: &State<'_>, segment: SegmentId) -> Result<Vec<ChunkPlace>, StateError> {
    let key = keys::garbage(segment);
    match state.message::<GarbageRecord>(&key)? {
        Some(found) => Ok(garbage_places(&found.record).map_err(|error| damaged(&key, &error))?),
        None => Ok(Vec::new()),
    }
}

/// The record for these places.
pub(crate) fn garbage_record(places: impl IntoIterator<Item = ChunkPlace>) -> GarbageRecord {
    GarbageRecord { places: places.into_iter().map(place_record).collect() }
}

/// The places of a record.
pub(crate) fn garbage_places(record: &GarbageRecord) -> Result<Vec<ChunkPlace>, InvalidId> {
    record.places.iter().map(recorded_place).collect()
}

/// A place as a record has it.
pub(crate) fn place_record(place: ChunkPlace) -> PlaceRecord {
    PlaceRecord { node: place.node.to_wire(), incarnation: place.incarnation.to_wire() }
}

/// A place of a record.
pub(crate) fn recorded_place(place: &PlaceRecord) -> Result<ChunkPlace, InvalidId> {
    let (node, incarnation) = (NodeId::from_wire(&place.node)?, IncarnationId::from_wire(&place.incarnation)?);
    Ok(ChunkPlace { node, incarnation })
}
