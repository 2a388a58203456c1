use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use cairn_proto::ids::SegmentId;
use parking_lot::Mutex;
use rocksdb::{FlushOptions, Range};

use super::change::LoggedFamily;
use super::database::{Database, read_failure};
use super::error::StoreError;
use super::key::{CellKey, end_of_cells, first_cell};
use super::writer::write_failure;
use crate::fatal::Fatal;

/// Logged bytes that may lie dead before the log and the tables are rewritten without them.
const DEAD_BYTES: u64 = 4 << 20;
/// The same, once nothing has been deleted for a while.
const IDLE_DEAD_BYTES: u64 = 256 << 10;
/// How long that is.
const IDLE_AFTER: Duration = Duration::from_secs(10);
/// A dropped segment from which on its own range is worth compacting.
const LARGE_SEGMENT_BYTES: u64 = 1 << 20;
/// Large segments that are remembered apart.
const LARGE_SEGMENTS: usize = 1_024;
/// The whole span of dropped segments is compacted in one go unless live data in it outweighs them so
/// many times, beyond what is cheap anyway.
const SPAN_FACTOR: u64 = 4;
const SPAN_CHEAP_BYTES: u64 = 16 << 20;

/// Gives the space of deleted cells back soon: RocksDB by itself keeps dead bytes in its log and buffers
/// until more is written.
pub(crate) struct Reclaimer {
    dead: Arc<Mutex<Dead>>,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Dead {
    bytes: u64,
    span: Option<(SegmentId, SegmentId)>,
    large: Vec<SegmentId>,
}

/// Dead cells that the last process did not give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeftOver {
    /// Their bytes, as far as table sizes tell.
    pub(crate) bytes: u64,
    /// The first and the last segment whose cells may be among them.
    pub(crate) span: (SegmentId, SegmentId),
}

impl Reclaimer {
    pub(crate) fn start(database: Arc<Database>, fatal: Fatal) -> Result<Self, StoreError> {
        let dead = Arc::new(Mutex::new(Dead::default()));
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-reclaimer".to_owned())
            .spawn({
                let dead = Arc::clone(&dead);
                move || reclaim_when_woken(&database, &dead, &woken, &fatal)
            })
            .map_err(|error| StoreError::WriteFailed { why: format!("no reclaiming thread: {error}") })?;
        Ok(Self { dead, wake: Some(wake), thread: Some(thread) })
    }

    /// Counts a segment whose deletion is written.
    pub(crate) fn dropped(&self, segment: SegmentId, logged_bytes: u64) {
        self.count(|dead| dead.add(segment, logged_bytes));
    }

    /// Counts what a start found.
    pub(crate) fn left_over(&self, found: Option<LeftOver>) {
        let Some(LeftOver { bytes, span: (first, last) }) = found else { return };
        self.count(|dead| {
            dead.add(first, 0);
            dead.add(last, 0);
            dead.bytes += bytes;
        });
    }

    fn count(&self, add: impl FnOnce(&mut Dead)) {
        let mut dead = self.dead.lock();
        add(&mut dead);
        if dead.bytes > DEAD_BYTES
            && let Some(wake) = &self.wake
        {
            // A full channel: the thread is about to look anyway.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Reclaimer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's reclaiming thread panicked");
        }
    }
}

impl Dead {
    fn add(&mut self, segment: SegmentId, logged_bytes: u64) {
        self.bytes += logged_bytes;
        let (first, last) = self.span.unwrap_or((segment, segment));
        self.span = Some((first.min(segment), last.max(segment)));
        if logged_bytes >= LARGE_SEGMENT_BYTES && self.large.len() < LARGE_SEGMENTS {
            self.large.push(segment);
        }
    }

    /// Whether it is worth the work now; `is_quiet` if nothing was deleted for a while.
    fn is_due(&self, is_quiet: bool) -> bool {
        self.bytes > DEAD_BYTES || (is_quiet && self.bytes >= IDLE_DEAD_BYTES)
    }
}

fn reclaim_when_woken(database: &Database, dead: &Mutex<Dead>, woken: &Receiver<()>, fatal: &Fatal) {
    let mut before = 0;
    loop {
        let idle = match woken.recv_timeout(IDLE_AFTER) {
            Ok(()) => false,
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let batch = {
            let mut dead = dead.lock();
            let is_due = dead.is_due(idle && dead.bytes == before);
            before = dead.bytes;
            if !is_due {
                continue;
            }
            std::mem::take(&mut *dead)
        };
        if let Err(error) = reclaim(database, &batch, fatal) {
            tracing::warn!(%error, bytes = batch.bytes, "the space of deleted cells comes back later");
        }
    }
}

fn reclaim(database: &Database, dead: &Dead, fatal: &Fatal) -> Result<(), StoreError> {
    let Some((first, last)) = dead.span else { return Ok(()) };
    flush(database, fatal)?;
    let (from, to) = (first_cell(first), end_of_cells(last));
    let span = Range::new(&from, &to);
    // Older generations are not compacted: they go as a whole.
    let cells = database.logged(LoggedFamily::Cells(database.newest_generation()));
    let span_bytes: u64 = database.rocks().get_approximate_sizes_cf(&cells, &[span]).iter().sum();
    if span_bytes <= SPAN_FACTOR * dead.bytes + SPAN_CHEAP_BYTES {
        database.rocks().compact_range_cf(&cells, Some(from.as_slice()), Some(to.as_slice()));
    } else {
        for segment in &dead.large {
            let (from, to) = (first_cell(*segment), end_of_cells(*segment));
            database.rocks().compact_range_cf(&cells, Some(from.as_slice()), Some(to.as_slice()));
        }
    }
    tracing::debug!(bytes = dead.bytes, span_bytes, "gave the space of deleted cells back");
    Ok(())
}

/// Empties the write buffers of every family, after which all older log files go.
pub(crate) fn flush(database: &Database, fatal: &Fatal) -> Result<(), StoreError> {
    let families = database.logged_families();
    let mut options = FlushOptions::default();
    options.set_wait(true);
    let handles: Vec<_> = families.iter().collect();
    database.rocks().flush_cfs_opt(&handles, &options).map_err(|error| write_failure(&error, fatal))
}

/// Removes the tables of `segment` from a bulk family. Only whole files go, and a file has one segment.
pub(crate) fn drop_tables(database: &Database, family: u32, segment: SegmentId) -> Result<(), StoreError> {
    let Some(family) = database.bulk(family) else { return Ok(()) };
    let (from, to) = (first_cell(segment), super::key::last_cell(segment));
    database.rocks().delete_file_in_range_cf(&family, from, to).map_err(|error| read_failure(&error))
}

/// Removes the one table of a bulk family that has these rows.
pub(crate) fn drop_table(database: &Database, family: u32, first: CellKey, last: CellKey) -> Result<(), StoreError> {
    let Some(family) = database.bulk(family) else { return Ok(()) };
    database.rocks().delete_file_in_range_cf(&family, first, last).map_err(|error| read_failure(&error))
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SegmentId;

    use super::{DEAD_BYTES, Dead, IDLE_DEAD_BYTES, LARGE_SEGMENT_BYTES};

    #[test]
    fn dead_bytes_are_summed_over_their_span() {
        let id = |byte| SegmentId::from_bytes([byte; 16]);
        let mut dead = Dead::default();
        dead.add(id(5), 10);
        dead.add(id(2), LARGE_SEGMENT_BYTES);
        dead.add(id(9), 1);
        assert_eq!(dead.bytes, LARGE_SEGMENT_BYTES + 11);
        assert_eq!(dead.span, Some((id(2), id(9))));
        assert_eq!(dead.large, vec![id(2)]);
    }

    #[test]
    fn little_waits_until_nothing_more_is_deleted() {
        let dead = |bytes| Dead { bytes, ..Dead::default() };
        assert!(!dead(DEAD_BYTES).is_due(false) && dead(DEAD_BYTES + 1).is_due(false));
        assert!(dead(IDLE_DEAD_BYTES).is_due(true) && !dead(IDLE_DEAD_BYTES - 1).is_due(true));
    }
}
