//! The chunks of one device, on RocksDB. `node/DESIGN.md` draws its states and key spaces.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_codec::Frame;
use cairn_proto::ids::{SegmentId, TransactionId};
use parking_lot::Mutex;

mod cells;
mod change;
mod chunk_record;
mod database;
mod deletion;
mod error;
mod generations;
mod ingestions;
mod inspection;
mod inventory;
mod key;
mod mending;
mod moving;
mod open_segment;
mod open_segments;
mod placement;
mod rebuilder;
mod reclaim;
mod record_copies;
mod recovery;
mod reservation;
mod sealing;
mod settings;
mod space;
mod staging;
mod system;
mod table_check;
mod tally;
mod verification;
mod writer;

pub use cells::Cells;
pub use error::StoreError;
pub use inspection::{Inspected, Inspector};
pub use inventory::{InventoryPage, ListedChunk};
pub use key::Position;
pub use mending::Mending;
pub use placement::BULK_FROM_BYTES;
pub use record_copies::RecordCopy;
pub use settings::MemoryShares;
pub use space::Usage;
pub use table_check::TableReport;
pub(crate) use tally::CellMark;
pub use tally::Tally;
pub use verification::{ScanStep, Verdict};
pub use writer::LogSyncing;

use crate::fatal::Fatal;
use change::{Change, LoggedFamily};
use chunk_record::ChunkRecord;
use database::Database;
use key::chunks;
use open_segment::{OpenSegment, Progress, Workshop};
use open_segments::OpenSegments;
pub(crate) use rebuilder::rebuilder;
use reclaim::Reclaimer;
use space::Space;
use staging::StagingArea;
use table_check::Suspects;
use writer::{Durability, Writer};

/// Where and how large a store is.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Folder of the database.
    pub database: PathBuf,
    /// Folder of tables being written; on the same file system.
    pub staging: PathBuf,
    /// Node and incarnation; a database of another owner is refused.
    pub owner: String,
    /// Bytes it may hold, if less than the device gives.
    pub limit_bytes: Option<u64>,
    /// How its memory is shared out.
    pub shares: MemoryShares,
    /// Payload bytes of a chunk that go through the log before it gets tables: [`BULK_FROM_BYTES`] in a daemon.
    pub bulk_from_bytes: u64,
    /// Whether its log is synced.
    pub syncing: LogSyncing,
}

/// Which chunk a write is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its segment.
    pub segment: SegmentId,
    /// Who writes it.
    pub transaction: TransactionId,
    /// Its place in every row.
    pub chunk_index: u8,
}

/// The chunks of one device. Dropping it waits for its threads; nothing acknowledged depends on that.
pub struct Store {
    // Dropped in this order: the writers let go of the database first.
    writer: Writer,
    reclaimer: Reclaimer,
    workshop: Arc<Workshop>,
    segments: OpenSegments,
    space: Space,
    sealed_chunks: AtomicU64,
    failing: Mutex<Option<String>>,
    /// Held while a sealed chunk's record is changed or goes.
    sealed_changes: tokio::sync::Mutex<()>,
    suspects: Mutex<Suspects>,
}

impl Store {
    /// Opens the store and drops what the last process left unsealed. Blocks on the disk.
    pub fn open(options: &StoreOptions, fatal: Fatal) -> Result<Self, StoreError> {
        let unreadable = |error| recovery::refused_if_unreadable(&options.database, error);
        let database = Arc::new(Database::open(&options.database, options.shares).map_err(unreadable)?);
        recovery::check_owner(&database, &options.owner).map_err(unreadable)?;
        let staging = StagingArea::open(&options.staging, options.shares.staging_files)?;
        let recovered = recovery::recover(&database).map_err(unreadable)?;
        let reclaimer = Reclaimer::start(Arc::clone(&database), fatal.clone())?;
        for &(segment, bytes) in &recovered.dropped {
            reclaimer.dropped(segment, bytes);
        }
        reclaimer.left_over(recovered.left_over);
        if !recovered.dropped.is_empty() {
            tracing::info!(segments = recovered.dropped.len(), "dropped what the last process left unsealed");
        }
        Ok(Self {
            writer: start_writer(options, &database, &fatal)?,
            reclaimer,
            segments: OpenSegments::default(),
            space: Space::open(Arc::clone(&database), options.limit_bytes, options.shares.headroom_bytes())?,
            workshop: Arc::new(Workshop {
                database,
                staging,
                ingestions: Arc::default(),
                bulk_from_bytes: options.bulk_from_bytes,
                fatal,
            }),
            sealed_chunks: AtomicU64::new(recovered.sealed_chunks),
            failing: Mutex::new(None),
            sealed_changes: tokio::sync::Mutex::default(),
            suspects: Mutex::default(),
        })
    }

    /// Takes in cells of one chunk: readable by their transaction on return, and not durable.
    ///
    /// `may_open` is asked once, when the segment is new here, and cannot be overtaken by the end of its session.
    pub async fn put(
        &self,
        target: &Target,
        frames: Vec<Frame>,
        may_open: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.let_in(&frames)?;
        let segment = self.open_segment(target, may_open)?;
        let mut progress = segment.progress().await;
        segment.require_writing(&progress)?;
        let changes = self.absorb(&segment, &mut progress, frames).await?;
        self.write_buffered(&segment, &mut progress, changes).await
    }

    /// The cells of a sealed chunk, if it is the one the master's record names.
    pub fn sealed_cells(&self, segment: SegmentId, chunk_index: u8, digest: &[u8; 32]) -> Result<Cells, StoreError> {
        let record = self.record(segment)?.ok_or(StoreError::NotFound { segment })?;
        if record.chunk_index != chunk_index {
            return Err(StoreError::NotFound { segment });
        }
        if record.tally.digest.as_bytes() != digest {
            return Err(StoreError::Stale { segment });
        }
        Ok(Cells::new(Arc::clone(&self.workshop.database), segment, chunk_index, record.placement))
    }

    /// The cells that a transaction has sent and not sealed yet, as they are now.
    pub async fn unsealed_cells(&self, target: &Target) -> Result<Cells, StoreError> {
        let missing = StoreError::NotFound { segment: target.segment };
        let found = self.segments.find(target.segment, target.transaction, target.chunk_index)?;
        let segment = found.ok_or(missing)?;
        let mut progress = segment.progress().await;
        segment.require_writing(&progress)?;
        if let Err(error) = progress.close_tables(&self.workshop).await {
            progress.break_off(&error);
            return Err(error);
        }
        Ok(segment.cells(&progress, &self.workshop))
    }

    /// Which chunk of a segment is sealed here, if one is.
    pub fn chunk_index(&self, segment: SegmentId) -> Result<Option<u8>, StoreError> {
        Ok(self.record(segment)?.map(|record| record.chunk_index))
    }

    /// What it holds and may hold.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        self.space.usage(self.workshop.staging.staged_bytes())
    }

    /// What its open segments are expected to take yet.
    pub fn expected_bytes(&self) -> u64 {
        self.segments.expected_bytes()
    }

    /// Lets a chunk begin here, whose cells come next. `may_open` is asked as in [`Self::put`].
    pub fn begin(&self, target: &Target, may_open: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.open_segment(target, may_open).map(drop)
    }

    /// Whether a segment takes cells here.
    pub fn is_open(&self, segment: SegmentId) -> bool {
        self.segments.contains(segment)
    }

    /// Why writes are refused now, if they are.
    pub fn refuses_writes(&self) -> Option<String> {
        if let Some(why) = self.failing.lock().clone() {
            return Some(why);
        }
        self.require_room().err().map(|error| error.to_string())
    }

    /// Chunks that are sealed here.
    pub fn sealed_chunks(&self) -> u64 {
        self.sealed_chunks.load(Ordering::Relaxed)
    }

    /// Says why not even a small write would be let in, if so.
    pub fn require_room(&self) -> Result<(), StoreError> {
        self.space.require_room(self.workshop.staging.staged_bytes())
    }

    /// Segments that take cells.
    pub fn open_segments(&self) -> usize {
        self.segments.count()
    }

    fn let_in(&self, frames: &[Frame]) -> Result<(), StoreError> {
        let bytes = frames.iter().map(|frame| frame.bytes().len() as u64).sum();
        self.space.let_in(bytes, self.workshop.staging.staged_bytes())
    }

    fn open_segment(
        &self,
        target: &Target,
        may_open: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Arc<OpenSegment>, StoreError> {
        let database = &self.workshop.database;
        let newest = || database.newest_generation();
        self.segments.open(target.segment, target.transaction, target.chunk_index, newest, || {
            match self.record(target.segment)? {
                Some(_) => Err(StoreError::AlreadySealed { segment: target.segment }),
                None => may_open(),
            }
        })
    }

    async fn absorb(
        &self,
        segment: &OpenSegment,
        progress: &mut Progress,
        frames: Vec<Frame>,
    ) -> Result<Vec<Change>, StoreError> {
        let absorbed = segment.absorb(progress, frames, &self.workshop).await;
        absorbed.inspect_err(|error| progress.break_off(error))
    }

    async fn write_buffered(
        &self,
        segment: &OpenSegment,
        progress: &mut Progress,
        mut changes: Vec<Change>,
    ) -> Result<(), StoreError> {
        if !changes.is_empty() {
            changes.extend(segment.note(progress));
            let written = self.write(changes, Durability::Buffered).await;
            written.inspect_err(|error| progress.break_off(error))?;
            progress.noted();
        }
        progress.settle();
        Ok(())
    }

    async fn write(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StoreError> {
        let written = self.writer.write(changes, durability).await;
        *self.failing.lock() = written.as_ref().err().map(ToString::to_string);
        written
    }

    fn record(&self, segment: SegmentId) -> Result<Option<ChunkRecord>, StoreError> {
        let bytes = self.workshop.database.record(LoggedFamily::Chunks, &chunks::record(segment))?;
        bytes.map(|bytes| ChunkRecord::decode(&bytes)).transpose()
    }
}

fn start_writer(options: &StoreOptions, database: &Arc<Database>, fatal: &Fatal) -> Result<Writer, StoreError> {
    Writer::start(Arc::clone(database), options.shares.write_queue_bytes, options.syncing, fatal.clone())
}

impl Drop for Store {
    fn drop(&mut self) {
        self.workshop.ingestions.wait();
    }
}
