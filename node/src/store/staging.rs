use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_proto::ids::SegmentId;
use fail::fail_point;
use rocksdb::SstFileWriter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::database::Database;
use super::error::StoreError;
use super::key::Position;
use super::settings;
use super::writer::write_failure;
use crate::fatal::Fatal;

/// The folder where tables are written, and how many at once.
pub(crate) struct StagingArea {
    dir: PathBuf,
    slots: Arc<Semaphore>,
    next: AtomicU64,
    bytes: Arc<AtomicU64>,
}

/// A table being written: rising rows of one stripe of one chunk. Not ingested, it is removed when dropped.
pub(crate) struct StagingFile {
    writer: SstFileWriter<'static>,
    path: PathBuf,
    family: u32,
    stripe: u32,
    size_bytes: u64,
    staged: Arc<AtomicU64>,
    _slot: OwnedSemaphorePermit,
}

impl StagingArea {
    /// Empties the folder: what is in it was never ingested, so nothing counts on it.
    pub(crate) fn open(dir: &Path, files: usize) -> Result<Self, StoreError> {
        let clear = || -> std::io::Result<()> {
            std::fs::create_dir_all(dir)?;
            for entry in std::fs::read_dir(dir)? {
                std::fs::remove_file(entry?.path())?;
            }
            Ok(())
        };
        clear().map_err(|error| StoreError::Open { dir: dir.display().to_string(), why: error.to_string() })?;
        Ok(Self {
            dir: dir.to_owned(),
            slots: Arc::new(Semaphore::new(files)),
            next: AtomicU64::new(0),
            bytes: Arc::new(AtomicU64::new(0)),
        })
    }

    /// The folder. A start empties it.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Bytes in tables that are being written.
    pub(crate) fn staged_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A new table, or none while as many as memory allows are being written.
    pub(crate) fn begin(&self, family: u32, stripe: u32) -> Result<Option<StagingFile>, StoreError> {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else { return Ok(None) };
        let path = self.dir.join(format!("{}.sst", self.next.fetch_add(1, Ordering::Relaxed)));
        let writer = SstFileWriter::create(&settings::STAGING);
        writer.open(&path).map_err(|error| StoreError::WriteFailed { why: error.to_string() })?;
        let staged = Arc::clone(&self.bytes);
        Ok(Some(StagingFile { writer, path, family, stripe, size_bytes: 0, staged, _slot: slot }))
    }
}

impl StagingFile {
    pub(crate) fn stripe(&self) -> u32 {
        self.stripe
    }

    /// Appends a cell. Nothing is durable before `ingest`.
    pub(crate) fn put(
        &mut self,
        segment: SegmentId,
        position: Position,
        frame: &[u8],
        fatal: &Fatal,
    ) -> Result<(), StoreError> {
        self.writer.put(position.key(segment), frame).map_err(|error| write_failure(&error, fatal))?;
        self.size_bytes += frame.len() as u64;
        self.staged.fetch_add(frame.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the table durable and readable: its bytes, its name and the manifest are synced on return.
    pub(crate) fn ingest(mut self, database: &Database, fatal: &Fatal) -> Result<(), StoreError> {
        self.writer.finish().map_err(|error| write_failure(&error, fatal))?;
        fail_point!("staging-finished", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
        let family = database
            .bulk(self.family)
            .ok_or_else(|| StoreError::WriteFailed { why: format!("no bulk family {}", self.family) })?;
        database
            .rocks()
            .ingest_external_file_cf_opts(&family, &settings::ingestion(), vec![&self.path])
            .map_err(|error| write_failure(&error, fatal))?;
        fail_point!("staging-ingested", |_| Err(StoreError::WriteFailed { why: "failpoint".to_owned() }));
        Ok(())
    }
}

impl Drop for StagingFile {
    fn drop(&mut self) {
        self.staged.fetch_sub(self.size_bytes, Ordering::Relaxed);
        // Ingestion moves the file away, so most often there is nothing left to remove.
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "a staging file stays until the next start");
        }
    }
}
