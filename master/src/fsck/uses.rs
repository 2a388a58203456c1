use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use cairn_proto::records::Segment;
use cairn_proto::wire::FsckProblemKind;

use super::keys_and_blobs::{RECORDS_PER_PAGE, key_of};
use super::problem::Problem;
use crate::failure::StateError;
use crate::keys;
use crate::state::{State, decode_blob};

/// How often the segments of a batch are used: as their records say, and as the blobs say that name them.
#[derive(Debug, Default)]
pub(super) struct Uses {
    counts: HashMap<SegmentId, Count>,
    /// Keys of blobs that name segments which are told of.
    keys: HashMap<SegmentId, Option<String>>,
}

#[derive(Debug, Default)]
struct Count {
    recorded: u64,
    found: u64,
}

impl Uses {
    /// One more segment of the batch.
    pub(super) fn expect(&mut self, segment: &Segment) {
        self.counts.insert(segment.id, Count { recorded: segment.uses, found: 0 });
    }

    /// Segments in the batch.
    pub(super) fn len(&self) -> usize {
        self.counts.len()
    }

    /// A segment whose key is wanted.
    pub(super) fn want_key(&mut self, segment: SegmentId) {
        self.keys.insert(segment, None);
    }

    /// A key of the segment, if one is known.
    pub(super) fn key(&self, segment: SegmentId) -> Option<String> {
        self.keys.get(&segment).cloned().flatten()
    }

    /// Counts the uses by a page of blobs; answers where the next page starts.
    pub(super) fn count_page(&mut self, state: &State<'_>, start: &[u8]) -> Result<Option<Bytes>, StateError> {
        let page = state.page(keys::BLOBS, start, RECORDS_PER_PAGE)?;
        for (at, found) in &page {
            // One that cannot be read was told of with the blobs.
            let Ok(blob) = decode_blob(at, &found.record) else { continue };
            let segments: HashSet<SegmentId> = blob.extents.iter().map(|extent| extent.segment).collect();
            for id in segments {
                if let Some(count) = self.counts.get_mut(&id) {
                    count.found += 1;
                }
                if let Some(key @ None) = self.keys.get_mut(&id) {
                    *key = key_of(state, &blob)?.map(|key| key.to_string());
                }
            }
        }
        let last = page.last().filter(|_| page.len() == RECORDS_PER_PAGE);
        Ok(last.map(|(last, _)| keys::successor(last)))
    }

    /// The segments whose records are wrong, in id order.
    pub(super) fn wrong(&self) -> Vec<Problem> {
        let wrong = self.counts.iter().filter(|(_, count)| count.recorded != count.found);
        let problem = |(id, count): (&SegmentId, &Count)| {
            let why = format!("{} blobs name it, and its record says {}", count.found, count.recorded);
            Problem::of_segment(FsckProblemKind::WrongUses, *id, why)
        };
        let mut problems: Vec<Problem> = wrong.map(problem).collect();
        problems.sort_unstable_by_key(|problem| problem.segment);
        problems
    }
}
