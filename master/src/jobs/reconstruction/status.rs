use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_proto::ids::SegmentId;
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::rate::Rate;

/// One chunk that is being rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RepairItem {
    /// The segment.
    pub(super) segment: SegmentId,
    /// The chunk.
    pub(super) chunk: usize,
    /// Name of the node that makes it.
    pub(super) node: String,
    /// Cells made so far.
    pub(super) cells: u64,
    /// Cells in all.
    pub(super) total_cells: u64,
    /// Bytes in all.
    pub(super) length_bytes: u64,
    /// Chunks of the segment that may still be lost.
    pub(super) spare: i64,
    /// Whether it is moved, and not missing.
    pub(super) is_move: bool,
    /// It is there, and cells of it are damaged.
    pub(super) corrupt: bool,
}

impl RepairItem {
    /// Bytes that are still to be made.
    pub(super) fn left_bytes(&self) -> u64 {
        self.length_bytes / self.total_cells.max(1) * self.total_cells.saturating_sub(self.cells)
    }
}

/// What repairs of one election have done and are doing.
#[derive(Debug, Default)]
pub(super) struct RepairStatus {
    under_way: Mutex<BTreeMap<SegmentId, RepairItem>>,
    rebuilt_chunks: AtomicU64,
    rebuilt_bytes: AtomicU64,
    moved_chunks: AtomicU64,
    read_bytes: AtomicU64,
    rate: Mutex<Rate>,
}

impl RepairStatus {
    /// What is being rebuilt.
    pub(super) fn items(&self) -> Vec<RepairItem> {
        self.under_way.lock().values().cloned().collect()
    }

    /// Chunks that were rebuilt since the election, and their bytes.
    pub(super) fn rebuilt(&self) -> (u64, u64) {
        (self.rebuilt_chunks.load(Ordering::Relaxed), self.rebuilt_bytes.load(Ordering::Relaxed))
    }

    /// Bytes read from nodes for what was rebuilt since the election.
    pub(super) fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    /// Bytes rebuilt in a second, lately.
    pub(super) fn bytes_per_second(&self, now: Instant) -> u64 {
        self.rate.lock().bytes_per_second(now)
    }

    /// A chunk is being rebuilt until the guard goes.
    pub(super) fn begin(&self, item: RepairItem) -> UnderWay<'_> {
        let segment = item.segment;
        self.under_way.lock().insert(segment, item);
        UnderWay { status: self, segment }
    }

    /// Chunks that were moved since the election.
    pub(super) fn moved(&self) -> u64 {
        self.moved_chunks.load(Ordering::Relaxed)
    }

    /// A chunk was moved.
    pub(super) fn moved_one(&self) {
        self.moved_chunks.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn rebuilt_one(&self, length_bytes: u64, read_bytes: u64) {
        self.rebuilt_chunks.fetch_add(1, Ordering::Relaxed);
        self.rebuilt_bytes.fetch_add(length_bytes, Ordering::Relaxed);
        self.read_bytes.fetch_add(read_bytes, Ordering::Relaxed);
    }
}

/// A chunk that is being rebuilt.
#[derive(Debug)]
pub(super) struct UnderWay<'a> {
    status: &'a RepairStatus,
    segment: SegmentId,
}

impl UnderWay<'_> {
    /// So many cells are made in all.
    pub(super) fn advance(&self, cells: u64, now: Instant) {
        let mut under_way = self.status.under_way.lock();
        let Some(item) = under_way.get_mut(&self.segment).filter(|item| item.cells < cells) else { return };
        let cell_bytes = item.length_bytes / item.total_cells.max(1);
        self.status.rate.lock().add((cells - item.cells) * cell_bytes, now);
        item.cells = cells;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.status.under_way.lock().remove(&self.segment);
    }
}

impl From<RepairItem> for wire::HealItem {
    fn from(item: RepairItem) -> Self {
        Self {
            segment: item.segment.to_wire(),
            chunk_index: u32::try_from(item.chunk).expect("a layout has at most 255 chunks"),
            node: item.node,
            cells: item.cells,
            total_cells: item.total_cells,
            spare_chunks: item.spare,
            moved: item.is_move,
            corrupt: item.corrupt,
        }
    }
}
