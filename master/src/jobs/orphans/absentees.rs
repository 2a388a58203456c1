//! The other side of an inventory: what records name at a node and the node does not list.

use std::collections::HashSet;
use std::ops::Bound;

use bytes::Bytes;
use cairn_proto::Refusal;
use cairn_proto::ids::SegmentId;
use cairn_proto::records::{ChunkPlace, Node};

use super::{CHUNKS_PER_PAGE, OrphanSweep};
use crate::failure::{Failure, StateError};
use crate::inventory::{ListedChunk, ListedPage, list_range};
use crate::keys;
use crate::nodes::Flaw;
use crate::state::{State, decode_segment};
use crate::store::View;

/// Records that are read at once.
const RECORDS_PER_PAGE: usize = 1024;

/// Segments behind one, up to another or the last.
type Segments = (Bound<SegmentId>, Bound<SegmentId>);

impl OrphanSweep {
    /// Has made what a page of a node's inventory lacks. What was committed there after the page was listed is not in it,
    /// so whatever seems to be missing is listed once more: a record names only what its node had sealed before.
    pub(super) async fn look_for_absent(
        &self,
        node: &Node,
        after: Option<SegmentId>,
        page: &ListedPage,
    ) -> Result<(), Failure> {
        let place = ChunkPlace { node: node.id, incarnation: node.incarnation };
        let segments = (after.map_or(Bound::Unbounded, Bound::Excluded), through(page));
        let listed = ids(&page.chunks);
        let view = self.ledger.view()?;
        let looking = tokio::task::spawn_blocking(move || unlisted(view.as_ref(), place, segments, &listed));
        let suspected = looking.await.map_err(|error| Refusal::NotReady { why: error.to_string() })??;
        if suspected.is_empty() {
            return Ok(());
        }
        match list_range(self.nodes.orders(), node, after, page.continue_after, CHUNKS_PER_PAGE).await {
            Ok(again) => {
                let again = ids(&again);
                for flaw in suspected.into_iter().filter(|flaw| !again.contains(&flaw.segment)) {
                    self.reconstruction.note_absent(place, flaw);
                }
            }
            Err(error) => tracing::warn!(node = %node.name, %error, "what a node lacks is looked for later"),
        }
        Ok(())
    }
}

fn through(page: &ListedPage) -> Bound<SegmentId> {
    page.continue_after.map_or(Bound::Unbounded, Bound::Included)
}

fn ids(chunks: &[ListedChunk]) -> HashSet<SegmentId> {
    chunks.iter().map(|chunk| chunk.segment).collect()
}

/// The chunks that records of these segments name at a place, and that are not among those listed.
fn unlisted(
    view: &dyn View,
    place: ChunkPlace,
    segments: Segments,
    listed: &HashSet<SegmentId>,
) -> Result<Vec<Flaw>, StateError> {
    let mut start = match segments.0 {
        Bound::Excluded(after) => keys::successor(&keys::segment(after)),
        Bound::Included(_) | Bound::Unbounded => Bytes::from_static(keys::SEGMENTS),
    };
    let mut unlisted = Vec::new();
    loop {
        let page = State(view).page(keys::SEGMENTS, &start, RECORDS_PER_PAGE)?;
        for (key, found) in &page {
            let segment = decode_segment(key, &found.record)?;
            if matches!(segments.1, Bound::Included(last) if segment.id > last) {
                return Ok(unlisted);
            }
            let is_here = |chunk: &usize| {
                let chunk = &segment.chunks[*chunk];
                chunk.cells > 0 && chunk.place == Some(place)
            };
            if let Some(chunk) = (0..segment.chunks.len()).find(is_here).filter(|_| !listed.contains(&segment.id)) {
                unlisted.push(Flaw { segment: segment.id, chunk });
            }
        }
        match page.last() {
            Some((last, _)) if page.len() == RECORDS_PER_PAGE => start = keys::successor(last),
            _ => return Ok(unlisted),
        }
    }
}
