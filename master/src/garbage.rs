//! The record that orders chunks of a segment to be deleted.

use cairn_proto::ids::{IncarnationId, InvalidId, NodeId};
use cairn_proto::records::ChunkPlace;

use crate::records::{GarbageRecord, PlaceRecord};

/// The record for these places.
pub(crate) fn garbage_record(places: impl IntoIterator<Item = ChunkPlace>) -> GarbageRecord {
    let place =
        |place: ChunkPlace| PlaceRecord { node: place.node.to_wire(), incarnation: place.incarnation.to_wire() };
    GarbageRecord { places: places.into_iter().map(place).collect() }
}

/// The places of a record.
pub(crate) fn garbage_places(record: &GarbageRecord) -> Result<Vec<ChunkPlace>, InvalidId> {
    let place = |place: &PlaceRecord| {
        Ok(ChunkPlace {
            node: NodeId::from_wire(&place.node)?,
            incarnation: IncarnationId::from_wire(&place.incarnation)?,
        })
    };
    record.places.iter().map(place).collect()
}
