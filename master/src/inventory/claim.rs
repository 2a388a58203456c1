use cairn_proto::records::ChunkPlace;

use super::ListedChunk;
use crate::failure::StateError;
use crate::garbage::garbage_of;
use crate::jobs::rebuilt_at;
use crate::keys;
use crate::state::State;

/// What the records say of a chunk that a node lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Its segment has a chunk at this place.
    Named,
    /// It is being rebuilt there: its segment may soon name it.
    Rebuilt,
    /// Its session lives and may still commit it.
    Open,
    /// It is about to be deleted.
    Condemned,
    /// None: nothing names it, and nothing ever will.
    Orphan,
}

/// Reads what claims a chunk that was listed at `place` before `state` was opened.
///
/// A segment is committed once, by a session that lives. So what no record names although the segment is on record, or
/// although its session is over or the segment aborted, is never named by a later commit; and a repair has its place on
/// record before anything lies there.
pub fn claim_on(state: &State<'_>, place: ChunkPlace, chunk: &ListedChunk) -> Result<Claim, StateError> {
    let segment = state.segment(chunk.segment)?;
    if segment.as_ref().is_some_and(|found| found.record.chunks.iter().any(|chunk| chunk.place == Some(place))) {
        return Ok(Claim::Named);
    }
    if rebuilt_at(state, chunk.segment)? == Some(place) {
        return Ok(Claim::Rebuilt);
    }
    if garbage_of(state, chunk.segment)?.contains(&place) {
        return Ok(Claim::Condemned);
    }
    if segment.is_some() || state.exists(&keys::aborted(chunk.session, chunk.segment))? {
        return Ok(Claim::Orphan);
    }
    if state.exists(&keys::session(chunk.session))? {
        return Ok(Claim::Open);
    }
    // What an ended session left is cleared before its revocation goes.
    let revoked = state.exists(&keys::revocation(chunk.session))?;
    Ok(if revoked { Claim::Condemned } else { Claim::Orphan })
}
