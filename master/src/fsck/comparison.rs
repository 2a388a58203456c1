//! What records and inventories say of the same chunks: what does not agree at first sight, and what is left of it at a
//! second look.

use std::collections::HashMap;

use cairn_proto::ids::SegmentId;
use cairn_proto::records::{Chunk, ChunkPlace, Segment};
use cairn_proto::wire::FsckProblemKind;

use super::merge::{Merged, merge};
use crate::inventory::{Claim, ListedChunk};
use crate::nodes::PlaceStanding;

/// Something that does not agree at first sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Suspicion {
    pub(super) segment: SegmentId,
    /// Which chunk the record means; `None` where a node lists one that no record names.
    pub(super) chunk: Option<usize>,
    /// Where it is, or is not; `None` for a chunk that is at no node.
    pub(super) place: Option<ChunkPlace>,
}

/// Where the chunks of some segments are to be looked for.
#[derive(Debug, Default)]
pub(super) struct Expectations<'a> {
    /// At each node that lists what it has.
    listed: HashMap<ChunkPlace, Vec<Expected<'a>>>,
    /// At nodes that do not list what they have, with the standing of each.
    pub(super) unlisted: Vec<(SegmentId, ChunkPlace, PlaceStanding)>,
    /// At no node, or at a place that is gone.
    pub(super) lost: Vec<Suspicion>,
}

#[derive(Debug)]
struct Expected<'a> {
    segment: SegmentId,
    chunk: usize,
    record: &'a Chunk,
}

impl<'a> Expectations<'a> {
    /// Of segments in id order.
    pub(super) fn of(
        segments: &'a [Segment],
        is_listed: impl Fn(ChunkPlace) -> bool,
        standing: impl Fn(ChunkPlace) -> PlaceStanding,
    ) -> Self {
        let mut expectations = Self::default();
        for segment in segments {
            for (chunk, record) in segment.chunks.iter().enumerate().filter(|(_, record)| record.cells > 0) {
                let nowhere = Suspicion { segment: segment.id, chunk: Some(chunk), place: record.place };
                match record.place {
                    None => expectations.lost.push(nowhere),
                    Some(place) if is_listed(place) => {
                        let expected = Expected { segment: segment.id, chunk, record };
                        expectations.listed.entry(place).or_default().push(expected);
                    }
                    Some(place) => match standing(place) {
                        PlaceStanding::Gone => expectations.lost.push(nowhere),
                        standing => expectations.unlisted.push((segment.id, place, standing)),
                    },
                }
            }
        }
        expectations
    }

    /// What does not agree with the inventory of a place, both complete for the same segments.
    pub(super) fn compare(&mut self, place: ChunkPlace, listed: Vec<ListedChunk>) -> Vec<Suspicion> {
        let expected = self.listed.remove(&place).unwrap_or_default();
        let suspicion = |segment, chunk| Some(Suspicion { segment, chunk, place: Some(place) });
        let judge = |merged: Merged<Expected<'_>, ListedChunk>| match merged {
            Merged::Both(expected, listed) if agrees(expected.chunk, expected.record, &listed) => None,
            Merged::Left(expected) | Merged::Both(expected, _) => suspicion(expected.segment, Some(expected.chunk)),
            Merged::Right(ListedChunk { segment, .. }) => suspicion(segment, None),
        };
        let by_segment = merge(expected, listed, |expected| expected.segment, |listed| listed.segment);
        by_segment.filter_map(judge).collect()
    }
}

fn agrees(chunk: usize, record: &Chunk, listed: &ListedChunk) -> bool {
    listed.chunk_index as usize == chunk
        && listed.cells == record.cells
        && listed.length_bytes == record.length_bytes
        && listed.digest == record.digest
}

/// What a suspicion is at a second look: given the segment's record of a state opened after the node listed again, what
/// it listed, the standing of the place, and who claims a chunk that the record does not name. `None`: all is well, or
/// changing.
pub(super) fn confirm(
    suspicion: &Suspicion,
    segment: Option<&Segment>,
    listed: Option<&ListedChunk>,
    standing: Option<PlaceStanding>,
    claim: Option<Claim>,
) -> Option<(FsckProblemKind, String)> {
    let Some(chunk) = suspicion.chunk else {
        let is_orphan = listed.is_some() && claim == Some(Claim::Orphan);
        return is_orphan.then(|| (FsckProblemKind::Orphan, "a chunk that no segment names".to_owned()));
    };
    let record = segment?.chunks.get(chunk).filter(|record| record.place == suspicion.place && record.cells > 0)?;
    match (record.place, standing) {
        (None, _) => Some((FsckProblemKind::Hole, "at no node".to_owned())),
        (Some(_), Some(PlaceStanding::Gone)) => {
            let why = "its node is removed, dead for long, or has lost that life of its data";
            Some((FsckProblemKind::MissingChunk, why.to_owned()))
        }
        (Some(_), _) => match listed {
            None => Some((FsckProblemKind::MissingChunk, "its node does not have it".to_owned())),
            Some(listed) if agrees(chunk, record, listed) => None,
            Some(listed) => Some((FsckProblemKind::DifferentChunk, difference(chunk, record, listed))),
        },
    }
}

fn difference(chunk: usize, record: &Chunk, listed: &ListedChunk) -> String {
    if listed.chunk_index as usize != chunk {
        return format!("its node has chunk {} of the segment", listed.chunk_index);
    }
    let (there, wanted) = ((listed.cells, listed.length_bytes), (record.cells, record.length_bytes));
    if there == wanted {
        return "its node has other cells".to_owned();
    }
    format!("its node has {} cells of {} bytes instead of {} of {}", there.0, there.1, wanted.0, wanted.1)
}
