//! Whether keys, blobs and segments of one view name each other as they should. A page at a time.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::records::{Blob, BlobState, Key};
use cairn_proto::wire::FsckProblemKind;

use super::problem::Problem;
use crate::blobs::{Extended, check_extents};
use crate::failure::StateError;
use crate::keys;
use crate::layouts::checked_layout;
use crate::state::{State, Stored, decode_blob, decode_deleted, decode_entry, key_text};

/// Records of one page.
pub(super) const RECORDS_PER_PAGE: usize = 1_024;

/// What a page of records came to.
#[derive(Debug, Default)]
pub(super) struct CheckedPage {
    pub(super) problems: Vec<Problem>,
    pub(super) records: u64,
    /// Where the next page starts; `None` at the end.
    pub(super) next: Option<Bytes>,
    /// Live blobs that are not what the key points at which they were committed under: renamed, or without a key.
    pub(super) elsewhere: Vec<(BlobId, String)>,
}

impl CheckedPage {
    fn of(page: &[(Bytes, Stored<Bytes>)]) -> Self {
        let last = page.last().filter(|_| page.len() == RECORDS_PER_PAGE);
        Self { records: page.len() as u64, next: last.map(|(last, _)| keys::successor(last)), ..Self::default() }
    }

    /// A record that makes no sense is told of, and holds up nothing.
    fn note(&mut self, outcome: Result<(), StateError>) -> Result<(), StateError> {
        match outcome {
            Err(StateError::Damaged(damaged)) => self.problems.push(damaged.into()),
            other => other?,
        }
        Ok(())
    }
}

/// Checks that each key points at a live blob.
pub(super) fn check_keys(state: &State<'_>, start: &[u8]) -> Result<CheckedPage, StateError> {
    let page = state.page(keys::KEYS, start, RECORDS_PER_PAGE)?;
    let mut checked = CheckedPage::of(&page);
    for (at, found) in &page {
        let outcome = check_key(state, at, &found.record, &mut checked.problems);
        checked.note(outcome)?;
    }
    Ok(checked)
}

fn check_key(state: &State<'_>, at: &[u8], value: &[u8], problems: &mut Vec<Problem>) -> Result<(), StateError> {
    let key = key_text(at)?;
    let blob = blob_of(at, value)?;
    let why = match state.blob(blob)? {
        None => "the key points at a blob without a record",
        Some(found) if found.record.state != BlobState::Live => "the key points at a blob that is marked deleted",
        Some(_) => return Ok(()),
    };
    problems.push(Problem::of_blob(FsckProblemKind::KeyWithoutBlob, blob, Some(key), why));
    Ok(())
}

fn blob_of(at: &[u8], value: &[u8]) -> Result<BlobId, StateError> {
    let entry = decode_entry(at, value)?;
    Ok(BlobId::from_wire(&entry.blob).map_err(|error| crate::state::damaged(at, &error))?)
}

/// Checks that the extents of each blob lie in segments and add up, and that a key or an order to drop it names it.
pub(super) fn check_blobs(state: &State<'_>, start: &[u8]) -> Result<CheckedPage, StateError> {
    let page = state.page(keys::BLOBS, start, RECORDS_PER_PAGE)?;
    let mut checked = CheckedPage::of(&page);
    for (at, found) in &page {
        let outcome = check_blob(state, at, found, &mut checked);
        checked.note(outcome)?;
    }
    Ok(checked)
}

fn check_blob(
    state: &State<'_>,
    at: &[u8],
    found: &Stored<Bytes>,
    checked: &mut CheckedPage,
) -> Result<(), StateError> {
    let blob = decode_blob(at, &found.record)?;
    let mut key = None;
    if let BlobState::Deleted { .. } = blob.state {
        if dropped_at(state, found.version)? != Some(blob.id) {
            let why = "marked deleted, and nothing orders it to be dropped";
            checked.problems.push(Problem::of_blob(FsckProblemKind::BlobWithoutKey, blob.id, None, why));
        }
    } else if points_at(state, &blob)? {
        key = Some(blob.key.to_string());
    } else {
        checked.elsewhere.push((blob.id, blob.key.to_string()));
    }
    checked.problems.extend(check_extents_of(state, &blob, key)?);
    Ok(())
}

/// The blob that the deletion at a log index is to drop: nothing writes a deleted blob's record after it was marked.
fn dropped_at(state: &State<'_>, index: u64) -> Result<Option<BlobId>, StateError> {
    let at = keys::deleted(index);
    let Some(found) = state.0.get(&at)? else { return Ok(None) };
    Ok(Some(decode_deleted(&at, &found.value)?))
}

fn points_at(state: &State<'_>, blob: &Blob) -> Result<bool, StateError> {
    Ok(state.entry(&blob.key)?.is_some_and(|found| found.record.blob == blob.id))
}

fn check_extents_of(state: &State<'_>, blob: &Blob, key: Option<String>) -> Result<Vec<Problem>, StateError> {
    let mut problems = Vec::new();
    let mut known: HashMap<SegmentId, Extended> = HashMap::new();
    let segments: HashSet<SegmentId> = blob.extents.iter().map(|extent| extent.segment).collect();
    for id in segments {
        let Some(found) = state.segment(id)? else {
            let problem = Problem::of_blob(
                FsckProblemKind::BlobWithoutSegment,
                blob.id,
                key.clone(),
                "the blob names a segment without a record",
            );
            problems.push(Problem { segment: Some(id), ..problem });
            continue;
        };
        match checked_layout(&found.record.layout) {
            Ok(layout) => drop(known.insert(id, Extended { layout, length_bytes: found.record.length_bytes })),
            Err(refusal) => {
                problems.push(Problem::of_segment(FsckProblemKind::DamagedRecord, id, refusal.to_string()));
            }
        }
    }
    if problems.is_empty()
        && let Err(refusal) = check_extents(&blob.extents, blob.size_bytes, &known)
    {
        problems.push(Problem::of_blob(FsckProblemKind::WrongExtents, blob.id, key, refusal.to_string()));
    }
    Ok(problems)
}

/// Takes out the blobs that keys of one page point at; answers where the next page starts.
pub(super) fn forget_named(
    state: &State<'_>,
    start: &[u8],
    blobs: &mut HashMap<BlobId, String>,
) -> Result<Option<Bytes>, StateError> {
    let page = state.page(keys::KEYS, start, RECORDS_PER_PAGE)?;
    for (at, found) in &page {
        // One that cannot be read was told of with the keys.
        if let Ok(blob) = blob_of(at, &found.record) {
            blobs.remove(&blob);
        }
    }
    Ok(CheckedPage::of(&page).next)
}

/// The key of a blob, if it is still the one it was committed under.
pub(super) fn key_of(state: &State<'_>, blob: &Blob) -> Result<Option<Key>, StateError> {
    let is_named = blob.state == BlobState::Live && points_at(state, blob)?;
    Ok(is_named.then(|| blob.key.clone()))
}
