use std::collections::HashMap;
use std::sync::Arc;

use cairn_proto::ids::{SegmentId, SessionId, TransactionId};
use parking_lot::Mutex;

use super::error::StoreError;
use super::open_segment::OpenSegment;
use super::rebuilder::outlives;
use super::reservation::Reservations;
use crate::recent::Recent;

/// Segments that may be open at once; the state of each is small.
const OPEN_SEGMENTS: usize = 16_384;

/// Deleted segments that are remembered, so that cells which come late do not bring one back.
const REMEMBERED_SEGMENTS: usize = 65_536;

/// Every segment that takes cells, and the ids that must not any more.
pub(crate) struct OpenSegments {
    state: Mutex<State>,
    reservations: Reservations,
}

struct State {
    open: HashMap<SegmentId, Arc<OpenSegment>>,
    dropped: Recent<SegmentId>,
}

impl Default for OpenSegments {
    fn default() -> Self {
        let dropped = Recent::of(REMEMBERED_SEGMENTS);
        Self { state: Mutex::new(State { open: HashMap::new(), dropped }), reservations: Reservations::default() }
    }
}

impl OpenSegments {
    /// The open segment, or a new one if `may_open` allows it. That is asked under the lock that `close`
    /// and `close_session` take, so that nothing opens behind their back.
    pub(crate) fn open(
        &self,
        segment: SegmentId,
        transaction: TransactionId,
        chunk_index: u8,
        generation: impl FnOnce() -> u32,
        may_open: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Arc<OpenSegment>, StoreError> {
        let mut state = self.state.lock();
        if let Some(open) = state.open.get(&segment) {
            return Self::matching(open, transaction, chunk_index);
        }
        if state.dropped.contains(segment) {
            return Err(StoreError::Dropped { segment });
        }
        if state.open.len() >= OPEN_SEGMENTS {
            return Err(StoreError::NoRoom { why: format!("{OPEN_SEGMENTS} segments are open") });
        }
        may_open()?;
        // Asked under the lock, so that a generation which is left gets no further segment behind its back.
        let reservation = self.reservations.begin();
        let open = Arc::new(OpenSegment::new(segment, transaction, chunk_index, generation(), reservation));
        state.open.insert(segment, Arc::clone(&open));
        Ok(open)
    }

    /// The open segment, if it is this transaction's.
    pub(crate) fn find(
        &self,
        segment: SegmentId,
        transaction: TransactionId,
        chunk_index: u8,
    ) -> Result<Option<Arc<OpenSegment>>, StoreError> {
        let open = self.state.lock().open.get(&segment).map(Arc::clone);
        open.map(|open| Self::matching(&open, transaction, chunk_index)).transpose()
    }

    /// The segment is sealed, and found by its record from now on.
    pub(crate) fn sealed(&self, segment: SegmentId) {
        self.state.lock().open.remove(&segment);
    }

    /// No cell of the segment is taken in from now on, on the order of the state at log index `deleted_at`. Hands over the
    /// open one for its cells to be dropped. What is rebuilt on a later order goes on.
    pub(crate) fn close(&self, segment: SegmentId, deleted_at: u64) -> Option<Arc<OpenSegment>> {
        let mut state = self.state.lock();
        if state.open.get(&segment).is_some_and(|open| outlives(open.transaction, deleted_at)) {
            return None;
        }
        state.dropped.insert(segment);
        state.open.remove(&segment)
    }

    /// Whether a segment that takes cells has them in a generation.
    pub(crate) fn use_generation(&self, generation: u32) -> bool {
        self.state.lock().open.values().any(|open| open.generation == generation)
    }

    /// A master wants the segment here again.
    pub(crate) fn readmit(&self, segment: SegmentId) {
        self.state.lock().dropped.remove(segment);
    }

    /// Takes an open segment out, without remembering it as deleted.
    pub(crate) fn take(&self, segment: SegmentId, transaction: TransactionId) -> Option<Arc<OpenSegment>> {
        let mut state = self.state.lock();
        state.open.get(&segment).filter(|open| open.transaction == transaction)?;
        state.open.remove(&segment)
    }

    /// The same for every open segment of a session, which must not be admitted any more.
    pub(crate) fn close_session(&self, session: SessionId) -> Vec<Arc<OpenSegment>> {
        let mut state = self.state.lock();
        let segments: Vec<_> =
            state.open.values().filter(|open| open.transaction.session == session).cloned().collect();
        for open in &segments {
            state.open.remove(&open.id);
        }
        segments
    }

    /// Whether it takes cells.
    pub(crate) fn contains(&self, segment: SegmentId) -> bool {
        self.state.lock().open.contains_key(&segment)
    }

    /// What those that are open are expected to take yet.
    pub(crate) fn expected_bytes(&self) -> u64 {
        self.reservations.bytes()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.lock().open.len()
    }

    fn matching(
        open: &Arc<OpenSegment>,
        transaction: TransactionId,
        chunk_index: u8,
    ) -> Result<Arc<OpenSegment>, StoreError> {
        if open.transaction == transaction && open.chunk_index == chunk_index {
            Ok(Arc::clone(open))
        } else {
            Err(StoreError::AnotherChunk { segment: open.id })
        }
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{SegmentId, SessionId, TransactionId};

    use super::OpenSegments;
    use crate::store::{StoreError, rebuilder};

    const TRANSACTION: TransactionId = TransactionId { session: SessionId(3), sequence: 1 };

    #[test]
    fn a_deleted_segment_does_not_open_again() {
        let segments = OpenSegments::default();
        let id = SegmentId::generate();
        segments.open(id, TRANSACTION, 0, || 0, || Ok(())).unwrap();
        assert!(segments.close(id, 0).is_some());
        assert!(matches!(segments.open(id, TRANSACTION, 0, || 0, || Ok(())), Err(StoreError::Dropped { .. })));
    }

    #[test]
    fn a_deleted_segment_opens_again_for_a_master_that_wants_it_back() {
        let segments = OpenSegments::default();
        let id = SegmentId::generate();
        assert!(segments.close(id, 0).is_none());
        segments.readmit(id);
        segments.open(id, TRANSACTION, 0, || 0, || Ok(())).unwrap();
        let other = TransactionId { sequence: 2, ..TRANSACTION };
        assert!(segments.take(id, other).is_none());
        assert!(segments.take(id, TRANSACTION).is_some());
        segments.open(id, other, 0, || 0, || Ok(())).unwrap();
    }

    #[test]
    fn a_deletion_that_comes_late_leaves_what_is_rebuilt_since() {
        let segments = OpenSegments::default();
        let id = SegmentId::generate();
        segments.open(id, rebuilder(8), 0, || 0, || Ok(())).unwrap();
        assert!(segments.close(id, 7).is_none());
        segments.open(id, rebuilder(8), 0, || 0, || panic!("it is open")).unwrap();
        assert!(segments.close(id, 8).is_some());
    }

    #[test]
    fn a_segment_has_one_chunk_and_one_writer_here() {
        let segments = OpenSegments::default();
        let id = SegmentId::generate();
        segments.open(id, TRANSACTION, 0, || 0, || Ok(())).unwrap();
        let other = TransactionId { sequence: 2, ..TRANSACTION };
        assert!(matches!(segments.open(id, TRANSACTION, 1, || 0, || Ok(())), Err(StoreError::AnotherChunk { .. })));
        assert!(matches!(segments.open(id, other, 0, || 0, || Ok(())), Err(StoreError::AnotherChunk { .. })));
    }

    #[test]
    fn closing_a_session_leaves_the_others() {
        let segments = OpenSegments::default();
        segments.open(SegmentId::generate(), TRANSACTION, 0, || 0, || Ok(())).unwrap();
        let other = TransactionId { session: SessionId(4), sequence: 1 };
        segments.open(SegmentId::generate(), other, 0, || 0, || Ok(())).unwrap();
        assert_eq!(segments.close_session(SessionId(3)).len(), 1);
        assert_eq!(segments.count(), 1);
    }
}
