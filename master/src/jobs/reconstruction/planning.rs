//! What a repair writes: where it rebuilds before anything lies there, and the chunk's new place afterwards.

use cairn_proto::ids::SegmentId;
use cairn_proto::records::{ChunkPlace, Segment};
use cairn_proto::wire;

use super::Damage;
use super::damage::idle_places;
use crate::failure::{Failure, StateError};
use crate::garbage::{add_garbage, garbage_of, place_record, recorded_place};
use crate::jobs::rebalancing::Move;
use crate::keys;
use crate::nodes::PlaceStanding;
use crate::records::RepairRecord;
use crate::state::{State, damaged, encode};
use crate::store::StoreSession;

/// One chunk being rebuilt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rebuilding {
    /// As it is on record.
    pub(super) segment: Segment,
    /// The missing chunk.
    pub(super) chunk: usize,
    /// Where it is rebuilt.
    pub(super) target: ChunkPlace,
    /// All that is missing.
    pub(super) damage: Damage,
}

impl Rebuilding {
    /// Whether the chunk is at its old place still, and to be moved.
    pub(super) fn is_move(&self) -> bool {
        self.damage.leaving.contains(&self.chunk)
    }

    /// What is to be done for the segment once this is done.
    pub(super) fn left(&self) -> Damage {
        let (mut left, length_bytes) = (self.damage.clone(), self.segment.chunks[self.chunk].length_bytes);
        if self.is_move() {
            left.leaving.retain(|chunk| *chunk != self.chunk);
            left.leaving_bytes = left.leaving_bytes.saturating_sub(length_bytes);
        } else {
            left.due.retain(|chunk| *chunk != self.chunk);
            left.due_bytes = left.due_bytes.saturating_sub(length_bytes);
            left.spare += 1;
        }
        left
    }
}

/// What a segment needs.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Need {
    /// Nothing: it is whole, or not there any more.
    Nothing,
    /// Nodes: the survey after the next change of them looks again.
    Nodes(Damage),
    /// A node to be cleared of what lies there of the segment.
    Clearing(Damage),
    /// This.
    Rebuild(Box<Rebuilding>),
}

/// Settles where the next missing chunk of a segment is rebuilt: where it was begun, or at the node that `choose` names
/// for it, given those that keep its chunks and those where none may go. The place is on record before anything is
/// written there, so that it is cleared whatever happens.
pub(super) fn plan_rebuilding(
    session: &mut StoreSession,
    id: SegmentId,
    standing: impl Fn(ChunkPlace) -> PlaceStanding,
    choose: impl Fn(&Segment, usize, &[ChunkPlace]) -> Option<ChunkPlace>,
    now_ms: u64,
) -> Result<Need, Failure> {
    let key = keys::repair(id);
    let record = State(session).message::<RepairRecord>(&key)?.map(|found| found.record);
    let Some(found) = State(session).segment(id)? else { return Ok(Need::Nothing) };
    let mut segment = found.record;
    let begun = begun(&key, record.as_ref())?;
    let_idle_places_go(session, &mut segment, &standing)?;
    let Some(damage) = Damage::of(&segment, &standing) else {
        give_up(session, id, record.is_some(), begun.map(|(_, place)| place))?;
        return Ok(Need::Nothing);
    };
    let Some(chunk) = damage.next() else { return Ok(Need::Nodes(damage)) };
    if let Some((chunk, target)) = begun
        && damage.wants(chunk)
        && standing(target) == PlaceStanding::Present
    {
        return Ok(Need::Rebuild(Box::new(Rebuilding { segment, chunk, target, damage })));
    }
    // What is to be deleted at a node might be deleted after it was made there.
    let named: Vec<ChunkPlace> = segment.chunks.iter().filter_map(|chunk| chunk.place).collect();
    let to_clear = garbage_of(&State(session), id)?.into_iter().chain(begun.map(|(_, place)| place));
    let barred: Vec<ChunkPlace> = named.iter().copied().chain(to_clear).collect();
    let Some(target) = choose(&segment, chunk, &barred) else {
        let can_be_cleared = choose(&segment, chunk, &named).is_some();
        return Ok(if can_be_cleared { Need::Clearing(damage) } else { Need::Nodes(damage) });
    };
    add_garbage(session, id, begun.map(|(_, place)| place))?;
    let noticed_at_ms = record.map_or(now_ms, |record| record.noticed_at_ms);
    put_record(session, id, &damage.due, noticed_at_ms, Some((chunk, target)));
    Ok(Need::Rebuild(Box::new(Rebuilding { segment, chunk, target, damage })))
}

/// Points the segment at the chunk that was rebuilt or moved, unless it is gone, whole again, or rebuilt elsewhere by now; then
/// what was made is garbage. `true`: it points there.
pub(super) fn plan_repointing(
    session: &mut StoreSession,
    rebuilt: &Rebuilding,
    standing: impl Fn(ChunkPlace) -> PlaceStanding,
) -> Result<bool, Failure> {
    let (id, key) = (rebuilt.segment.id, keys::repair(rebuilt.segment.id));
    let record = State(session).message::<RepairRecord>(&key)?.map(|found| found.record);
    // Who ended this repair, be it a deletion, has ordered the chunk to be cleared.
    if begun(&key, record.as_ref())? != Some((rebuilt.chunk, rebuilt.target)) {
        return Ok(false);
    }
    let Some(found) = State(session).segment(id)? else { return Ok(false) };
    let mut segment = found.record;
    let old = segment.chunks[rebuilt.chunk].place;
    let is_rebalanced = record.as_ref().is_some_and(|record| record.is_rebalanced);
    if !is_rebalanced && old.is_some_and(|place| standing(place) == PlaceStanding::Present) {
        add_garbage(session, id, [rebuilt.target])?;
        settle_record(session, id, Damage::of(&segment, standing).as_ref(), record.as_ref());
        return Ok(false);
    }
    segment.chunks[rebuilt.chunk].place = Some(rebuilt.target);
    segment.version += 1;
    session.put(keys::segment(id), encode(&wire::Segment::from(&segment)));
    add_garbage(session, id, old)?;
    settle_record(session, id, Damage::of(&segment, standing).as_ref(), record.as_ref());
    Ok(true)
}

/// Settles that a chunk of a whole segment goes to another node to even them out, as long as nothing else is to be done
/// for the segment. `None`: it is not as it was.
pub(super) fn plan_move(
    session: &mut StoreSession,
    id: SegmentId,
    wanted: &Move,
    standing: impl Fn(ChunkPlace) -> PlaceStanding,
    now_ms: u64,
) -> Result<Option<Rebuilding>, Failure> {
    if State(session).exists(&keys::repair(id))? {
        return Ok(None);
    }
    let Some(found) = State(session).segment(id)? else { return Ok(None) };
    let segment = found.record;
    let Move { chunk, from, to, length_bytes } = *wanted;
    let is_there = segment.chunks.get(chunk).is_some_and(|chunk| chunk.place == Some(from));
    let mut barred: Vec<ChunkPlace> = segment.chunks.iter().filter_map(|chunk| chunk.place).collect();
    barred.extend(garbage_of(&State(session), id)?);
    let is_free = barred.iter().all(|place| place.node != to.node) && standing(to) == PlaceStanding::Present;
    if !is_there || !is_free || Damage::of(&segment, &standing).is_some() {
        return Ok(None);
    }
    let spare = i64::from(segment.layout.code);
    let damage = Damage { spare, leaving: vec![chunk], leaving_bytes: length_bytes, ..Damage::default() };
    let record = RepairRecord { is_rebalanced: true, ..repair_record(&[], now_ms, Some((chunk, to))) };
    session.put(keys::repair(id), encode(&record));
    Ok(Some(Rebuilding { segment, chunk, target: to, damage }))
}

/// Takes the names of nodes that are to be emptied from chunks without cells. Nothing has to be made elsewhere for them,
/// but the node may keep an empty chunk.
fn let_idle_places_go(
    session: &mut StoreSession,
    segment: &mut Segment,
    standing: &impl Fn(ChunkPlace) -> PlaceStanding,
) -> Result<(), StateError> {
    let idle: Vec<usize> = idle_places(segment, standing).collect();
    if idle.is_empty() {
        return Ok(());
    }
    let places: Vec<ChunkPlace> = idle.iter().filter_map(|chunk| segment.chunks[*chunk].place.take()).collect();
    segment.version += 1;
    session.put(keys::segment(segment.id), encode(&wire::Segment::from(&*segment)));
    add_garbage(session, segment.id, places)
}

/// Has the place of a rebuilding that failed cleared, so that the next attempt takes another.
pub(super) fn plan_giving_up(session: &mut StoreSession, failed: &Rebuilding) -> Result<(), Failure> {
    let (id, key) = (failed.segment.id, keys::repair(failed.segment.id));
    let record = State(session).message::<RepairRecord>(&key)?.map(|found| found.record);
    if begun(&key, record.as_ref())? == Some((failed.chunk, failed.target)) {
        add_garbage(session, id, [failed.target])?;
        settle_record(session, id, Some(&failed.damage), record.as_ref());
    }
    Ok(())
}

/// The chunk that a record says is being rebuilt, and where.
pub(in crate::jobs) fn begun(
    key: &[u8],
    record: Option<&RepairRecord>,
) -> Result<Option<(usize, ChunkPlace)>, StateError> {
    let Some((record, target)) = record.and_then(|record| Some((record, record.target.as_ref()?))) else {
        return Ok(None);
    };
    let place = recorded_place(target).map_err(|error| damaged(key, &error))?;
    Ok(Some((record.target_chunk as usize, place)))
}

/// Where a chunk of a segment is being rebuilt, if one is.
pub(crate) fn rebuilt_at(state: &State<'_>, segment: SegmentId) -> Result<Option<ChunkPlace>, StateError> {
    let key = keys::repair(segment);
    let record = state.message::<RepairRecord>(&key)?.map(|found| found.record);
    Ok(begun(&key, record.as_ref())?.map(|(_, place)| place))
}

fn give_up(
    session: &mut StoreSession,
    id: SegmentId,
    is_recorded: bool,
    target: Option<ChunkPlace>,
) -> Result<(), StateError> {
    add_garbage(session, id, target)?;
    if is_recorded {
        session.delete(keys::repair(id));
    }
    Ok(())
}

/// Without a rebuilding; gone once nothing is due.
fn settle_record(session: &mut StoreSession, id: SegmentId, damage: Option<&Damage>, before: Option<&RepairRecord>) {
    match damage.filter(|damage| !damage.due.is_empty()) {
        None => session.delete(keys::repair(id)),
        Some(damage) => {
            let noticed_at_ms = before.map_or(0, |record| record.noticed_at_ms);
            put_record(session, id, &damage.due, noticed_at_ms, None);
        }
    }
}

fn put_record(
    session: &mut StoreSession,
    id: SegmentId,
    missing: &[usize],
    noticed_at_ms: u64,
    begun: Option<(usize, ChunkPlace)>,
) {
    session.put(keys::repair(id), encode(&repair_record(missing, noticed_at_ms, begun)));
}

fn repair_record(missing: &[usize], noticed_at_ms: u64, begun: Option<(usize, ChunkPlace)>) -> RepairRecord {
    let narrow = |chunk: usize| u32::try_from(chunk).expect("a layout has at most 255 chunks");
    RepairRecord {
        chunks: missing.iter().copied().map(narrow).collect(),
        noticed_at_ms,
        target: begun.map(|(_, place)| place_record(place)),
        target_chunk: begun.map_or(0, |(chunk, _)| narrow(chunk)),
        is_rebalanced: false,
    }
}
