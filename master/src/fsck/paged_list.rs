use std::collections::VecDeque;

use cairn_proto::ids::SegmentId;

/// Something of a segment, in lists that are sorted by segment.
pub(super) trait OfSegment {
    fn segment(&self) -> SegmentId;
}

/// A sorted list that comes in pages: what of it is in memory, and whether there is more.
#[derive(Debug)]
pub(super) struct PagedList<T> {
    buffered: VecDeque<T>,
    more: bool,
}

impl<T> Default for PagedList<T> {
    fn default() -> Self {
        Self { buffered: VecDeque::new(), more: true }
    }
}

impl<T: OfSegment> PagedList<T> {
    /// Whether nothing is in memory and there may be more.
    pub(super) fn needs_page(&self) -> bool {
        self.buffered.is_empty() && self.more
    }

    /// The next page, which begins behind all that came before.
    pub(super) fn add(&mut self, page: impl IntoIterator<Item = T>, more: bool) {
        self.buffered.extend(page);
        self.more = more;
    }

    /// The segment up to which all is in memory; `None` if all of the rest is.
    pub(super) fn complete_through(&self) -> Option<SegmentId> {
        self.buffered.back().filter(|_| self.more).map(T::segment)
    }

    /// Takes what is of segments up to `bound`, or all.
    pub(super) fn take_through(&mut self, bound: Option<SegmentId>) -> Vec<T> {
        let count = bound.map_or(self.buffered.len(), |bound| {
            self.buffered.iter().take_while(|item| item.segment() <= bound).count()
        });
        self.buffered.drain(..count).collect()
    }

    /// Whether all was taken.
    pub(super) fn is_done(&self) -> bool {
        self.buffered.is_empty() && !self.more
    }
}

/// The segment up to which every list is in memory, given what each says of itself; `None` if all of the rest is.
pub(super) fn bound(complete_through: impl IntoIterator<Item = Option<SegmentId>>) -> Option<SegmentId> {
    complete_through.into_iter().flatten().min()
}
