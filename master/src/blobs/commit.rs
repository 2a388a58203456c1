use std::collections::HashMap;

use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::records::{Blob, BlobState, ChunkPlace, KeyEntry, Segment};
use cairn_proto::{Refusal, wire};

use super::extents::{Extended, check_extents};
use super::retire::retire;
use super::sealed::check_sealed;
use super::{CommitRequest, Overwrite, Precondition};
use crate::failure::Failure;
use crate::garbage::garbage_record;
use crate::keys;
use crate::layouts::checked_layout;
use crate::records::RepairRecord;
use crate::state::{State, Stored, encode};
use crate::store::StoreSession;

/// What a commit needs beside the request and the state.
#[derive(Debug, Clone)]
pub struct CommitContext {
    /// Whose request it is.
    pub client: SessionId,
    /// A serial that no other blob has.
    pub serial: u64,
    /// Milliseconds since 1970, for people.
    pub now_ms: u64,
    /// What becomes of a key that exists.
    pub overwrite: Overwrite,
    /// Where the transaction was told to write; places that the sealed segment does not name are cleared.
    pub written_to: Vec<ChunkPlace>,
}

/// Makes a blob visible.
pub fn plan_commit(
    session: &mut StoreSession,
    request: &CommitRequest,
    context: &CommitContext,
) -> Result<wire::CommitBlobResponse, Failure> {
    if let Some(reply) = committed_already(&State(session), request)? {
        return Ok(reply);
    }
    let entry = State(session).entry(&request.key)?.map(|found| found.record);
    request.precondition.check(&request.key, entry.as_ref())?;
    let (state, client) = (State(session), context.client);
    context.overwrite.check_commit(&state, &request.key, entry.as_ref(), request.precondition, client)?;
    add_uses(session, request)?;
    if let Some((segment, layout)) = &request.sealed {
        check_sealed(session, context.client, segment, layout)?;
        put_sealed(session, segment, context);
    }
    let key = keys::key(&request.key);
    if let Some(old) = &entry {
        retire(session, old.blob, &key, context.now_ms)?;
    }
    let new = KeyEntry {
        blob: request.blob,
        serial: context.serial,
        size_bytes: request.size_bytes,
        attributes: request.attributes,
    };
    let new = wire::KeyEntry::from(new);
    session.put(keys::blob(request.blob), encode(&wire::Blob::from(&blob_of(request, context))));
    session.put(key, encode(&new));
    Ok(wire::CommitBlobResponse { entry: Some(new), applied_index: 0 })
}

/// The reply to a request that has run, if the blob it makes is there and is the same.
pub(super) fn committed_already(
    state: &State<'_>,
    request: &CommitRequest,
) -> Result<Option<wire::CommitBlobResponse>, Failure> {
    let Some(Stored { version, record: blob }) = state.blob(request.blob)? else { return Ok(None) };
    let same = blob.key == request.key
        && blob.size_bytes == request.size_bytes
        && blob.extents == request.extents
        && blob.digest == request.digest;
    if !same {
        return Err(invalid(format!("blob {} exists and is another", request.blob)).into());
    }
    let entry =
        KeyEntry { blob: blob.id, serial: blob.serial, size_bytes: blob.size_bytes, attributes: request.attributes };
    Ok(Some(wire::CommitBlobResponse { entry: Some(entry.into()), applied_index: version }))
}

/// Checks the extents and counts one more use for each segment that was sealed before.
fn add_uses(session: &mut StoreSession, request: &CommitRequest) -> Result<(), Failure> {
    let mut known: HashMap<SegmentId, Extended> = HashMap::new();
    let ids = request.segments();
    if let Some((sealed, layout)) = &request.sealed {
        if !ids.contains(&sealed.id) {
            return Err(invalid("no extent lies in the segment to seal".to_owned()).into());
        }
        known.insert(sealed.id, Extended { layout: *layout, length_bytes: sealed.length_bytes });
    }
    for id in ids {
        if known.contains_key(&id) {
            continue;
        }
        let Some(stored) = State(session).segment(id)? else {
            return Err(gone(request, id).into());
        };
        let layout = checked_layout(&stored.record.layout)?;
        known.insert(id, Extended { layout, length_bytes: stored.record.length_bytes });
        let used = Segment { uses: stored.record.uses + 1, ..stored.record };
        session.put(keys::segment(id), encode(&wire::Segment::from(&used)));
    }
    check_extents(&request.extents, request.size_bytes, &known)?;
    Ok(())
}

/// A segment that is not there was collected with the blob that the writer started from: the key was changed.
fn gone(request: &CommitRequest, id: SegmentId) -> Refusal {
    match request.precondition {
        Precondition::Blob(_) | Precondition::None => Refusal::KeyChanged { key: request.key.to_string() },
        Precondition::Absent => invalid(format!("segment {id} does not exist")),
    }
}

/// The segment's record, the order to fill its holes, and the order to clear places that it does not name.
fn put_sealed(session: &mut StoreSession, segment: &Segment, context: &CommitContext) {
    let sealed = Segment { uses: 1, version: 1, ..segment.clone() };
    session.put(keys::segment(segment.id), encode(&wire::Segment::from(&sealed)));
    let holes: Vec<u32> =
        (0..).zip(&segment.chunks).filter(|(_, chunk)| chunk.is_hole()).map(|(index, _)| index).collect();
    if !holes.is_empty() {
        let record = RepairRecord { chunks: holes, noticed_at_ms: context.now_ms, ..RepairRecord::default() };
        session.put(keys::repair(segment.id), encode(&record));
    }
    let named: Vec<ChunkPlace> = segment.chunks.iter().filter_map(|chunk| chunk.place).collect();
    let stray: Vec<ChunkPlace> = context.written_to.iter().filter(|place| !named.contains(place)).copied().collect();
    if !stray.is_empty() {
        session.put(keys::garbage(segment.id), encode(&garbage_record(stray)));
    }
}

fn blob_of(request: &CommitRequest, context: &CommitContext) -> Blob {
    Blob {
        id: request.blob,
        serial: context.serial,
        key: request.key.clone(),
        size_bytes: request.size_bytes,
        extents: request.extents.clone(),
        digest: request.digest,
        state: BlobState::Live,
        created_at_ms: context.now_ms,
        writer_killed_by_signal: request.writer_killed_by_signal,
        session: context.client,
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::InvalidRequest { why }
}
