use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::ClientError;
use crate::cache::CellKey;

/// The cells that are being fetched, or that a reader holds, so that no cell is fetched twice at a time.
#[derive(Debug, Default)]
pub(super) struct SlotTable {
    slots: Mutex<HashMap<CellKey, Weak<CellSlot>>>,
}

/// A cell that is here or on its way.
#[derive(Debug)]
pub(super) struct CellSlot {
    key: CellKey,
    state: watch::Receiver<SlotState>,
    table: Arc<SlotTable>,
}

#[derive(Debug, Clone)]
enum SlotState {
    OnItsWay,
    Here(Bytes),
    Failed(ClientError),
}

/// Held by whoever fetches the cell. Dropped without an outcome it tells the waiting that there will be none.
#[derive(Debug)]
pub(super) struct SlotFiller {
    key: CellKey,
    state: watch::Sender<SlotState>,
}

impl SlotTable {
    /// The slot of a cell. With it the duty to fill it, if nobody has that yet.
    pub(super) fn join(self: &Arc<Self>, key: CellKey) -> (Arc<CellSlot>, Option<SlotFiller>) {
        let mut slots = self.slots.lock();
        let found = slots.get(&key).and_then(Weak::upgrade);
        if let Some(slot) = found.as_ref().filter(|slot| !slot.is_broken()) {
            return (Arc::clone(slot), None);
        }
        let (filler, state) = watch::channel(SlotState::OnItsWay);
        let slot = Arc::new(CellSlot { key, state, table: Arc::clone(self) });
        slots.insert(key, Arc::downgrade(&slot));
        // `found` may be the last owner of its slot, whose drop takes the lock too.
        drop(slots);
        (slot, Some(SlotFiller { key, state: filler }))
    }
}

impl CellSlot {
    /// The payload, once it is here. `None`: whoever fetched it broke off.
    pub(super) async fn wait(&self) -> Option<Result<Bytes, ClientError>> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| !matches!(state, SlotState::OnItsWay)).await.ok()?.clone();
        match state {
            SlotState::OnItsWay => None,
            SlotState::Here(payload) => Some(Ok(payload)),
            SlotState::Failed(error) => Some(Err(error)),
        }
    }

    /// Whether it will never be filled.
    pub(super) fn is_broken(&self) -> bool {
        match &*self.state.borrow() {
            SlotState::OnItsWay => self.state.has_changed().is_err(),
            SlotState::Here(_) => false,
            SlotState::Failed(_) => true,
        }
    }
}

impl Drop for CellSlot {
    fn drop(&mut self) {
        let mut slots = self.table.slots.lock();
        if slots.get(&self.key).is_some_and(|slot| std::ptr::eq(slot.as_ptr(), self)) {
            slots.remove(&self.key);
        }
    }
}

impl SlotFiller {
    pub(super) fn key(&self) -> CellKey {
        self.key
    }

    pub(super) fn fill(self, payload: Bytes) {
        self.state.send_replace(SlotState::Here(payload));
    }

    pub(super) fn fail(self, error: ClientError) {
        self.state.send_replace(SlotState::Failed(error));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use cairn_proto::ids::SegmentId;

    use super::SlotTable;
    use crate::cache::CellKey;
    use crate::client::ClientError;

    fn key() -> CellKey {
        CellKey { segment: SegmentId::from_bytes([1; 16]), row: 1, chunk: 2 }
    }

    #[tokio::test]
    async fn a_cell_is_fetched_by_one_and_given_to_all() {
        let table = Arc::new(SlotTable::default());
        let (first, filler) = table.join(key());
        let (second, none) = table.join(key());
        assert!(none.is_none());
        filler.unwrap().fill(Bytes::from_static(b"cell"));
        assert_eq!(first.wait().await, Some(Ok(Bytes::from_static(b"cell"))));
        assert_eq!(second.wait().await, Some(Ok(Bytes::from_static(b"cell"))));
    }

    #[tokio::test]
    async fn a_failed_or_abandoned_fetch_is_done_again() {
        let table = Arc::new(SlotTable::default());
        let (slot, filler) = table.join(key());
        drop(filler);
        assert_eq!(slot.wait().await, None);
        let (again, filler) = table.join(key());
        filler.unwrap().fail(ClientError::InvalidRequest { why: "test".to_owned() });
        assert!(again.wait().await.unwrap().is_err());
        assert!(table.join(key()).1.is_some());
    }

    #[test]
    fn a_slot_that_nobody_holds_is_forgotten() {
        let table = Arc::new(SlotTable::default());
        let (slot, _filler) = table.join(key());
        drop(slot);
        assert!(table.slots.lock().is_empty());
    }
}
