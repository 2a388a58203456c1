use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::records::ChunkPlace;
use fail::fail_point;
use futures_util::StreamExt;
use futures_util::stream;

use super::dropping::places_of;
use crate::failure::{Failure, StateError};
use crate::garbage::garbage_record;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::records::GarbageRecord;
use crate::state::{State, Stored, damaged, decode, encode};
use crate::store::StoreSession;

/// Garbage records of one round.
const SEGMENTS_PER_ROUND: usize = 1024;
/// Nodes that are ordered to delete at a time.
const NODES_AT_ONCE: usize = 16;
/// Records that one command updates.
const RECORDS_PER_COMMAND: usize = 128;

/// One garbage record.
struct Garbage {
    segment: SegmentId,
    version: u64,
    /// Places whose chunks are still to go.
    places: Vec<ChunkPlace>,
    recorded: usize,
}

/// Some garbage records as they were at one log index.
struct Page {
    garbage: Vec<Garbage>,
    next: Option<Bytes>,
    read_at: u64,
}

/// Orders garbage to be deleted: one page of records from `start` on. Answers where the next page starts, or `None` at
/// the end. A record goes when every node has answered, is gone, or has lost that life of its data.
pub(super) async fn sweep(ledger: &Ledger, nodes: &Nodes, start: &Bytes) -> Result<Option<Bytes>, Failure> {
    let Page { mut garbage, next, read_at } = read(ledger, nodes, start)?;
    if !garbage.is_empty() {
        fail_point!("garbage-found");
    }
    let done = order(nodes, &garbage, read_at).await;
    if !done.is_empty() {
        fail_point!("garbage-deleted");
    }
    for record in &mut garbage {
        record.places.retain(|place| !done.contains(&(record.segment, place.node)));
    }
    for batch in garbage.chunks(RECORDS_PER_COMMAND) {
        update(ledger, batch).await?;
    }
    Ok(next)
}

fn read(ledger: &Ledger, nodes: &Nodes, start: &Bytes) -> Result<Page, StateError> {
    let view = ledger.view()?;
    let state = State(view.as_ref());
    let page = state.page(keys::GARBAGE, start, SEGMENTS_PER_ROUND)?;
    let next = (page.len() == SEGMENTS_PER_ROUND).then(|| page.last().map(|(last, _)| keys::successor(last))).flatten();
    let garbage = page.iter().map(|(key, found)| open(&state, nodes, key, found)).collect::<Result<_, _>>()?;
    Ok(Page { garbage, next, read_at: view.applied_index() })
}

/// The places of a record that still hold something to delete. A segment that is on record keeps what it names.
fn open(state: &State<'_>, nodes: &Nodes, key: &Bytes, found: &Stored<Bytes>) -> Result<Garbage, StateError> {
    let id = keys::id_in(keys::GARBAGE, key).ok_or_else(|| damaged(key, &"not the key of a segment"))?;
    let segment = SegmentId::from_bytes(id);
    let mut places = places_of(segment, &decode::<GarbageRecord>(key, &found.record)?)?;
    let recorded = places.len();
    let kept = state.segment(segment)?;
    let named = |place: &ChunkPlace| {
        kept.as_ref().is_some_and(|kept| kept.record.chunks.iter().any(|chunk| chunk.place == Some(*place)))
    };
    places.retain(|place| holds_data(nodes, place) && !named(place));
    Ok(Garbage { segment, version: found.version, places, recorded })
}

/// Whether that life of the node's data is the current one.
fn holds_data(nodes: &Nodes, place: &ChunkPlace) -> bool {
    nodes.is_registered(place.node)
        && nodes.table().get(place.node).is_some_and(|member| member.node.incarnation == place.incarnation)
}

/// Sends each node that answers its share; answers what is deleted.
async fn order(nodes: &Nodes, garbage: &[Garbage], read_at: u64) -> HashSet<(SegmentId, NodeId)> {
    let mut shares: BTreeMap<NodeId, Vec<SegmentId>> = BTreeMap::new();
    for record in garbage {
        for place in record.places.iter().filter(|place| nodes.answers(place.node)) {
            shares.entry(place.node).or_default().push(record.segment);
        }
    }
    let orders = shares.into_iter().map(|(node, segments)| async move {
        let member = nodes.table().get(node)?;
        match nodes.orders().delete(&member.node, &segments, read_at).await {
            Ok(()) => Some((node, segments)),
            Err(error) => {
                tracing::warn!(node = %member.node.name, segments = segments.len(), %error, "cannot delete garbage");
                None
            }
        }
    });
    let answered: Vec<_> = stream::iter(orders).buffer_unordered(NODES_AT_ONCE).collect().await;
    let pairs = answered.into_iter().flatten();
    pairs.flat_map(|(node, segments)| segments.into_iter().map(move |segment| (segment, node))).collect()
}

/// Writes down what is left of each record. A record that changed meanwhile stays for the next round.
async fn update(ledger: &Ledger, batch: &[Garbage]) -> Result<(), Failure> {
    let plan = |session: &mut StoreSession| {
        for record in batch.iter().filter(|record| record.places.len() < record.recorded || record.recorded == 0) {
            let key = keys::garbage(record.segment);
            if State(session).version(&key)? != Some(record.version) {
                continue;
            }
            if record.places.is_empty() {
                session.delete(key);
            } else {
                session.put(key, encode(&garbage_record(record.places.iter().copied())));
            }
        }
        Ok(())
    };
    ledger.transact(plan).await?;
    Ok(())
}
