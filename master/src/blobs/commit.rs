use std::collections::HashMap;

use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::records::{Blob, BlobState, ChunkPlace, KeyEntry, Segment};
use cairn_proto::{Refusal, wire};

use super::extents::{Extended, check_extents};
use super::retire::retire;
use super::sealed::check_sealed;
use super::{CommitRequest, Precondition};
use crate::failure::Failure;
use crate::garbage::garbage_record;
use crate::keys;
use crate::layouts::checked_layout;
use crate::records::RepairRecord;
use crate::requests::Plan;
use crate::state::{State, Stored, encode, unchanged};
use crate::store::{Command, Expected};

/// What a commit needs beside the request and the state.
#[derive(Debug, Clone)]
pub struct CommitContext {
    /// Whose request it is.
    pub client: SessionId,
    /// A serial that no other blob has.
    pub serial: u64,
    /// Milliseconds since 1970, for people.
    pub now_ms: u64,
    /// Where the transaction was told to write; places that the sealed segment does not name are cleared.
    pub written_to: Vec<ChunkPlace>,
}

/// Plans the command that makes a blob visible.
pub fn plan_commit(
    state: &State<'_>,
    request: &CommitRequest,
    context: &CommitContext,
) -> Result<Plan<wire::CommitBlobResponse>, Failure> {
    if let Some(reply) = committed_already(state, request)? {
        return Ok(Plan { command: Command::new(), reply });
    }
    let mut command = Command::new();
    let entry = state.entry(&request.key)?;
    request.precondition.check(&request.key, entry.as_ref().map(|entry| &entry.record))?;
    add_uses(state, request, &mut command)?;
    if let Some((segment, layout)) = &request.sealed {
        check_sealed(state, context.client, segment, layout, &mut command)?;
        put_sealed(segment, context, &mut command);
    }
    let key = keys::key(&request.key);
    if let Some(old) = &entry {
        retire(state, old.record.blob, &key, context.now_ms, &mut command)?;
    }
    let new = KeyEntry {
        blob: request.blob,
        serial: context.serial,
        size_bytes: request.size_bytes,
        attributes: request.attributes,
    };
    let new = wire::KeyEntry::from(new);
    let blob = wire::Blob::from(&blob_of(request, context));
    command.put_if(keys::blob(request.blob), encode(&blob), Expected::Absent);
    command.put_if(key, encode(&new), unchanged(entry.as_ref()));
    Ok(Plan { command, reply: wire::CommitBlobResponse { entry: Some(new), applied_index: 0 } })
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
fn add_uses(state: &State<'_>, request: &CommitRequest, command: &mut Command) -> Result<(), Failure> {
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
        let found = state.segment(id)?;
        let Some(stored) = &found else {
            return Err(gone(request, id).into());
        };
        let layout = checked_layout(&stored.record.layout)?;
        known.insert(id, Extended { layout, length_bytes: stored.record.length_bytes });
        let used = Segment { uses: stored.record.uses + 1, ..stored.record.clone() };
        command.put_if(keys::segment(id), encode(&wire::Segment::from(&used)), unchanged(found.as_ref()));
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
fn put_sealed(segment: &Segment, context: &CommitContext, command: &mut Command) {
    let sealed = Segment { uses: 1, version: 1, ..segment.clone() };
    command.put_if(keys::segment(segment.id), encode(&wire::Segment::from(&sealed)), Expected::Absent);
    let holes: Vec<u32> =
        (0..).zip(&segment.chunks).filter(|(_, chunk)| chunk.is_hole()).map(|(index, _)| index).collect();
    if !holes.is_empty() {
        let record = RepairRecord { chunks: holes, noticed_at_ms: context.now_ms };
        command.put(keys::repair(segment.id), encode(&record));
    }
    let named: Vec<ChunkPlace> = segment.chunks.iter().filter_map(|chunk| chunk.place).collect();
    let stray: Vec<ChunkPlace> = context.written_to.iter().filter(|place| !named.contains(place)).copied().collect();
    if !stray.is_empty() {
        command.put(keys::garbage(segment.id), encode(&garbage_record(stray)));
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
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::InvalidRequest { why }
}
