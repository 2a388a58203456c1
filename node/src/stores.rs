//! The stores of a node, one on each of its devices. A segment lies whole on one of them.
//!
//! Nothing remembers which: a segment is where it is open, or where its record is. Only a segment that is new gets a device
//! chosen, and deletions and the end of a session go to every device, so that none of them can be overtaken.

mod choice;
mod listing;

use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::Frame;
use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::wire;
use futures_util::future::join_all;
use parking_lot::Mutex;

use crate::store::{Cells, InventoryPage, Store, StoreError, Tally, Target};
use choice::{Room, choose};

/// A store and the name of the device that it is on.
#[derive(Clone)]
pub struct DeviceStore {
    /// Name of the device.
    pub device: String,
    /// What it keeps.
    pub store: Arc<Store>,
}

/// All stores of a node; there is at least one.
pub struct Stores {
    devices: Vec<DeviceStore>,
    /// Held while a device is chosen, so that a segment is not begun on two.
    opening: Mutex<()>,
}

impl Stores {
    /// Of these devices, of which there is at least one.
    pub fn new(devices: Vec<DeviceStore>) -> Self {
        assert!(!devices.is_empty(), "a node has a device");
        Self { devices, opening: Mutex::default() }
    }

    /// Each of them.
    pub fn devices(&self) -> &[DeviceStore] {
        &self.devices
    }

    /// As [`Store::put`], on the device of the segment, or on the one that has most room for a new one.
    pub async fn put(
        &self,
        target: &Target,
        frames: Vec<Frame>,
        may_open: impl Fn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.opened(target, &may_open)?.put(target, frames, may_open).await
    }

    /// As [`Store::seal`], on the device of the segment, or on the one that has most room for a new one.
    pub async fn seal(
        &self,
        target: &Target,
        frames: Vec<Frame>,
        expected: &Tally,
        may_open: impl Fn() -> Result<(), StoreError>,
    ) -> Result<Tally, StoreError> {
        let store = if frames.is_empty() {
            self.holder(target.segment)?.unwrap_or_else(|| self.first())
        } else {
            self.opened(target, &may_open)?
        };
        store.seal(target, frames, expected, may_open).await
    }

    /// As [`Store::sealed`].
    pub fn sealed(&self, target: &Target, expected: &Tally) -> Result<Option<Tally>, StoreError> {
        self.holder(target.segment)?.map_or(Ok(None), |store| store.sealed(target, expected))
    }

    /// As [`Store::sealed_cells`].
    pub fn sealed_cells(&self, segment: SegmentId, chunk_index: u8, digest: &[u8; 32]) -> Result<Cells, StoreError> {
        let store = self.holder(segment)?.ok_or(StoreError::NotFound { segment })?;
        store.sealed_cells(segment, chunk_index, digest)
    }

    /// As [`Store::unsealed_cells`].
    pub async fn unsealed_cells(&self, target: &Target) -> Result<Cells, StoreError> {
        let segment = target.segment;
        let store = self.holder(segment)?.ok_or(StoreError::NotFound { segment })?;
        store.unsealed_cells(target).await
    }

    /// The store in which a segment is open or sealed, if one is.
    pub fn holder(&self, segment: SegmentId) -> Result<Option<&Arc<Store>>, StoreError> {
        if let [only] = self.devices.as_slice() {
            return Ok(Some(&only.store));
        }
        // In this order: what was sealed after the first look has its record by the second.
        if let Some(open) = self.stores().find(|store| store.is_open(segment)) {
            return Ok(Some(open));
        }
        // A device that cannot be read hides nothing that is found on another.
        let mut failure = None;
        for store in self.stores() {
            match store.chunk_index(segment) {
                Ok(Some(_)) => return Ok(Some(store)),
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    /// As [`Store::delete`], wherever they are. Late cells are refused on every device.
    pub async fn delete(&self, segments: &[SegmentId], deleted_at: u64) -> Result<(), StoreError> {
        all(join_all(self.stores().map(|store| store.delete(segments, deleted_at))).await)
    }

    /// As [`Store::drop_session`], on every device.
    pub async fn drop_session(&self, session: SessionId) -> Result<(), StoreError> {
        all(join_all(self.stores().map(|store| store.drop_session(session))).await)
    }

    /// As [`Store::drop_unsealed`].
    pub async fn drop_unsealed(&self, target: &Target) -> Result<(), StoreError> {
        all(join_all(self.stores().map(|store| store.drop_unsealed(target))).await)
    }

    /// As [`Store::readmit`].
    pub fn readmit(&self, segment: SegmentId) {
        self.stores().for_each(|store| store.readmit(segment));
    }

    /// As [`Store::list`], in one order over all devices. Blocks on the disk.
    pub fn list(
        &self,
        session: Option<SessionId>,
        start_after: Option<SegmentId>,
        limit: usize,
    ) -> Result<InventoryPage, StoreError> {
        let pages = self.stores().map(|store| listing::begun(|| store.list(session, start_after, limit)));
        Ok(listing::merge(pages.collect::<Result<_, _>>()?, limit))
    }

    /// Chunks that are sealed here.
    pub fn sealed_chunks(&self) -> u64 {
        self.stores().map(|store| store.sealed_chunks()).sum()
    }

    /// Segments that take cells.
    pub fn open_segments(&self) -> usize {
        self.stores().map(|store| store.open_segments()).sum()
    }

    /// Why writes are refused now, if every device refuses them.
    pub fn refuses_writes(&self) -> Option<String> {
        let reasons = self.devices.iter().map(|device| Some((device, device.store.refuses_writes()?)));
        let reasons: Vec<_> = reasons.collect::<Option<_>>()?;
        if let [(_, only)] = reasons.as_slice() {
            return Some(only.clone());
        }
        let named = reasons.iter().map(|(device, why)| format!("{}: {why}", device.device));
        Some(named.collect::<Vec<_>>().join("; "))
    }

    /// What each device may hold, holds, and is expected to take yet.
    pub fn usage(&self) -> Result<Vec<wire::Device>, StoreError> {
        let usage = |DeviceStore { device, store }: &DeviceStore| {
            let usage = store.usage()?;
            Ok(wire::Device {
                name: device.clone(),
                limit_bytes: usage.limit_bytes,
                used_bytes: usage.used_bytes,
                reserved_bytes: store.expected_bytes(),
            })
        };
        self.devices.iter().map(usage).collect()
    }

    /// A record of the node itself, as each device has it.
    pub fn system_records(&self, name: &str) -> Result<Vec<Vec<u8>>, StoreError> {
        self.stores().filter_map(|store| store.system_record(name).transpose()).collect()
    }

    /// Keeps a record of the node itself on every device; on stable storage on return.
    pub async fn keep_system_record(&self, name: &str, value: Bytes) -> Result<(), StoreError> {
        all(join_all(self.stores().map(|store| store.keep_system_record(name, value.clone()))).await)
    }

    fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.devices.iter().map(|device| &device.store)
    }

    fn first(&self) -> &Arc<Store> {
        &self.devices[0].store
    }

    /// The store that takes the cells of a chunk.
    fn opened(
        &self,
        target: &Target,
        may_open: impl Fn() -> Result<(), StoreError>,
    ) -> Result<&Arc<Store>, StoreError> {
        if let Some(store) = self.holder(target.segment)? {
            return Ok(store);
        }
        let _opening = self.opening.lock();
        if let Some(store) = self.holder(target.segment)? {
            return Ok(store);
        }
        let store = &self.devices[choose(&self.rooms()?)].store;
        // A full one is to answer so, and to begin nothing.
        store.require_room()?;
        store.begin(target, may_open)?;
        Ok(store)
    }

    fn rooms(&self) -> Result<Vec<Room<'_>>, StoreError> {
        self.devices.iter().map(Room::of).collect()
    }
}

impl<'a> Room<'a> {
    fn of(DeviceStore { device, store }: &'a DeviceStore) -> Result<Self, StoreError> {
        let usage = store.usage()?;
        Ok(Self {
            device,
            limit_bytes: usage.limit_bytes,
            taken_bytes: usage.used_bytes.saturating_add(store.expected_bytes()),
            takes_writes: store.refuses_writes().is_none(),
        })
    }
}

/// All succeeded, or one of the failures.
fn all(outcomes: Vec<Result<(), StoreError>>) -> Result<(), StoreError> {
    outcomes.into_iter().collect()
}
