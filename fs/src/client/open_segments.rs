use std::collections::{BTreeMap, HashMap};

use cairn_proto::ids::SegmentId;
use parking_lot::Mutex;

/// The segments that this client may still read, and the highest index it has seen: what a heartbeat reports, so that
/// nothing is collected under a reader.
#[derive(Debug, Default)]
pub(super) struct OpenSegments {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    applied_index: u64,
    uses: HashMap<SegmentId, usize>,
    /// Look-ups under way by the lowest index that their answers may have.
    looking_up: BTreeMap<u64, usize>,
}

/// A look-up under way.
#[derive(Debug)]
pub(super) struct LookUp<'a> {
    open: &'a OpenSegments,
    min_applied_index: u64,
}

impl OpenSegments {
    /// Remembers an index that a master answered with.
    pub(super) fn see(&self, applied_index: u64) {
        let mut state = self.state.lock();
        state.applied_index = state.applied_index.max(applied_index);
    }

    /// The highest index seen: no answer may be older.
    pub(super) fn applied_index(&self) -> u64 {
        self.state.lock().applied_index
    }

    /// To be held from before a look-up is sent until its segments are [`OpenSegments::add`]ed.
    pub(super) fn start_look_up(&self) -> LookUp<'_> {
        let mut state = self.state.lock();
        let min_applied_index = state.applied_index;
        *state.looking_up.entry(min_applied_index).or_default() += 1;
        LookUp { open: self, min_applied_index }
    }

    pub(super) fn add(&self, segments: &[SegmentId]) {
        let mut state = self.state.lock();
        for segment in segments {
            *state.uses.entry(*segment).or_default() += 1;
        }
    }

    pub(super) fn remove(&self, segments: &[SegmentId]) {
        let mut state = self.state.lock();
        for segment in segments {
            if let Some(uses) = state.uses.get_mut(segment) {
                *uses -= 1;
                if *uses == 0 {
                    state.uses.remove(segment);
                }
            }
        }
    }

    /// The open segments, and the index as of which they are complete: an answer that is still under way may name
    /// segments that were deleted after the index it was asked at, so the report stops there.
    pub(super) fn report(&self) -> (Vec<SegmentId>, u64) {
        let state = self.state.lock();
        let as_of = state.looking_up.keys().next().copied().unwrap_or(state.applied_index);
        (state.uses.keys().copied().collect(), as_of)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().uses.is_empty()
    }
}

impl LookUp<'_> {
    pub(super) fn min_applied_index(&self) -> u64 {
        self.min_applied_index
    }
}

impl Drop for LookUp<'_> {
    fn drop(&mut self) {
        let mut state = self.open.state.lock();
        if let Some(count) = state.looking_up.get_mut(&self.min_applied_index) {
            *count -= 1;
            if *count == 0 {
                state.looking_up.remove(&self.min_applied_index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SegmentId;

    use super::OpenSegments;

    #[test]
    fn a_segment_is_open_until_its_last_user_is_gone() {
        let open = OpenSegments::default();
        let segment = SegmentId::generate();
        open.add(&[segment]);
        open.add(&[segment]);
        open.remove(&[segment]);
        assert_eq!(open.report().0, vec![segment]);
        open.remove(&[segment]);
        assert!(open.is_empty());
    }

    #[test]
    fn a_report_does_not_vouch_for_what_a_look_up_under_way_may_find() {
        let open = OpenSegments::default();
        open.see(5);
        let look_up = open.start_look_up();
        open.see(9);
        let later = open.start_look_up();
        assert_eq!(open.report().1, 5);
        drop(look_up);
        assert_eq!(open.report().1, 9);
        drop(later);
        open.see(8);
        assert_eq!(open.report().1, 9);
    }
}
