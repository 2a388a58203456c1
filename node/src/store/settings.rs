use std::path::Path;
use std::sync::LazyLock;

use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, IngestExternalFileOptions, LogLevel, Options,
    ReadOptions, WriteOptions,
};

/// Write buffers of the logged family: one being filled, the others being flushed.
const WRITE_BUFFERS: usize = 3;
/// Its write buffer, and what the memory setting may shrink it to.
const WRITE_BUFFER_BYTES: usize = 16 << 20;
const LEAST_WRITE_BUFFER_BYTES: usize = 2 << 20;
/// Write buffer of each family of small records, and what several devices may shrink it to.
const RECORD_BUFFER_BYTES: usize = 1 << 20;
const LEAST_RECORD_BUFFER_BYTES: usize = 256 << 10;
/// The least that may wait for the log writer of a store.
const LEAST_WRITE_QUEUE_BYTES: usize = 2 << 20;
/// Log bytes after which the oldest buffers are flushed so that log files can go.
const LOG_BYTES: u64 = 48 << 20;
/// Open tables of a node; each keeps its index and file descriptor. And those that each of several devices has.
const OPEN_TABLES: i32 = 512;
const LEAST_OPEN_TABLES: i32 = 64;
/// Tables that a second look at the database has open.
const SECOND_LOOK_TABLES: i32 = 20;
/// Bytes written before the kernel is asked to start writing them back, so that a sync finds little to do.
const WRITE_BACK_BYTES: u64 = 1 << 20;
/// Log and manifest files are small and few, so that an idle directory is.
const INFO_LOG_BYTES: usize = 256 << 10;
const INFO_LOG_FILES: usize = 2;
const MANIFEST_BYTES: usize = 1 << 20;
const MANIFEST_PREALLOCATION_BYTES: usize = 64 << 10;
/// Cache of cells. The kernel's page cache keeps them; this one is there because RocksDB lends out a value without a
/// copy only from a block that is in a cache. What is lent counts beyond it, and is bounded by the streams being read.
const CELL_CACHE_BYTES: usize = 1 << 20;
/// Version of the table format that ties a block's checksum to its place in the file.
const TABLE_FORMAT: i32 = 6;

/// How the configured memory is shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShares {
    /// One write buffer of the logged family.
    pub write_buffer_bytes: usize,
    /// One write buffer of a family of small records.
    pub record_buffer_bytes: usize,
    /// Tables that are kept open.
    pub open_tables: i32,
    /// Cache of table blocks.
    pub block_cache_bytes: usize,
    /// Frames waiting for the log writer.
    pub write_queue_bytes: usize,
    /// Tables being written at once.
    pub staging_files: usize,
    /// Streams being read at once.
    pub read_streams: usize,
    /// Chunks being rebuilt at once.
    pub rebuilds: usize,
}

impl MemoryShares {
    /// Shares of `memory_bytes`. A quarter is left to the process, its code and what malloc keeps.
    pub fn of(memory_bytes: u64) -> Self {
        let memory = usize::try_from(memory_bytes).unwrap_or(usize::MAX);
        Self {
            write_buffer_bytes: (memory / 16).clamp(LEAST_WRITE_BUFFER_BYTES, WRITE_BUFFER_BYTES),
            record_buffer_bytes: RECORD_BUFFER_BYTES,
            open_tables: OPEN_TABLES,
            block_cache_bytes: memory / 16,
            write_queue_bytes: (memory / 16).clamp(4 << 20, 64 << 20),
            // A table being written has a file buffer of 1 MiB, a block, and an index that grows.
            staging_files: (memory / (12 << 20)).clamp(4, 256),
            // A stream being read holds up to three messages of 512 KiB.
            read_streams: (memory / (6 << 20)).clamp(8, 256),
            // A chunk being rebuilt holds up to 11 MiB; they share the quarter that is left.
            rebuilds: (memory / (48 << 20)).clamp(1, 16),
        }
    }

    /// The part of each of so many stores that share the memory. Streams and chunks being rebuilt are the node's.
    #[must_use]
    pub fn divided_by(self, stores: usize) -> Self {
        let stores = stores.max(1);
        let tables = OPEN_TABLES / i32::try_from(stores).unwrap_or(i32::MAX);
        Self {
            write_buffer_bytes: (self.write_buffer_bytes / stores).max(LEAST_WRITE_BUFFER_BYTES),
            record_buffer_bytes: (self.record_buffer_bytes / stores).max(LEAST_RECORD_BUFFER_BYTES),
            open_tables: tables.max(LEAST_OPEN_TABLES),
            block_cache_bytes: self.block_cache_bytes / stores,
            write_queue_bytes: (self.write_queue_bytes / stores).max(LEAST_WRITE_QUEUE_BYTES),
            staging_files: (self.staging_files / stores).max(1),
            ..self
        }
    }

    /// Room that flushing and compacting need beside the data: never let RocksDB run out of space first.
    pub fn headroom_bytes(&self) -> u64 {
        2 * self.write_buffer_bytes as u64 * WRITE_BUFFERS as u64
    }
}

/// RocksDB's settings for the families of one store.
pub(crate) struct Settings {
    shares: MemoryShares,
    records: Cache,
    cells: Cache,
}

impl Settings {
    pub(crate) fn new(shares: MemoryShares) -> Self {
        let records = Cache::new_lru_cache(shares.block_cache_bytes);
        Self { shares, records, cells: Cache::new_lru_cache(CELL_CACHE_BYTES) }
    }

    /// Empties the caches of blocks.
    pub(crate) fn forget_blocks(&self) {
        self.forget_cells();
        empty(&self.records, self.shares.block_cache_bytes);
    }

    /// Empties the cache of cells.
    pub(crate) fn forget_cells(&self) {
        empty(&self.cells, CELL_CACHE_BYTES);
    }

    /// The whole database, to look into its tables anew beside the store that has it open. Nothing is kept of what is
    /// read, and what RocksDB itself notes goes to `scratch`.
    pub(crate) fn second_look(scratch: &Path) -> Options {
        let mut options = Options::default();
        options.set_max_open_files(SECOND_LOOK_TABLES);
        // Without it RocksDB would have to write the manifest, which such a look cannot.
        options.set_track_and_verify_wals_in_manifest(true);
        options.set_db_log_dir(scratch);
        options.set_keep_log_file_num(1);
        options.set_log_level(LogLevel::Fatal);
        options.set_paranoid_checks(false);
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// Any family of it.
    pub(crate) fn second_look_family() -> Options {
        let mut options = Options::default();
        options.set_block_based_table_factory(&table(None));
        options.set_write_buffer_size(64 << 10);
        options
    }

    /// The whole database.
    pub(crate) fn database(&self, create: bool) -> Options {
        // The bindings have no call for this one. Preallocated log space would count as used.
        let mut options = Options::default()
            .get_options_from_string("allow_fallocate=false")
            .expect("the option has had this name since it exists");
        options.create_if_missing(create);
        options.create_missing_column_families(true);
        options.set_paranoid_checks(true);
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_track_and_verify_wals_in_manifest(true);
        // With it on, kernel read-ahead is off: cold bulk reads take almost twice as long.
        options.set_advise_random_on_open(false);
        options.set_max_open_files(self.shares.open_tables);
        options.set_max_background_jobs(2);
        options.set_max_total_wal_size(LOG_BYTES);
        options.set_bytes_per_sync(WRITE_BACK_BYTES);
        options.set_wal_bytes_per_sync(WRITE_BACK_BYTES);
        options.set_max_manifest_file_size(MANIFEST_BYTES);
        options.set_manifest_preallocation_size(MANIFEST_PREALLOCATION_BYTES);
        options.set_keep_log_file_num(INFO_LOG_FILES);
        options.set_max_log_file_size(INFO_LOG_BYTES);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }

    /// Cells that went through the write-ahead log.
    pub(crate) fn logged(&self, compacted: bool) -> Options {
        let mut options = family(DBCompressionType::None, &self.cells);
        options.set_disable_auto_compactions(!compacted);
        options.set_write_buffer_size(self.shares.write_buffer_bytes);
        options.set_max_write_buffer_number(i32::try_from(WRITE_BUFFERS).expect("a small constant"));
        options.set_target_file_size_base(16 << 20);
        options.set_max_bytes_for_level_base(64 << 20);
        options
    }

    /// Tables as they were ingested. They never overlap, so there is nothing to compact.
    pub(crate) fn bulk(&self) -> Options {
        let mut options = family(DBCompressionType::None, &self.cells);
        options.set_write_buffer_size(64 << 10);
        options.set_disable_auto_compactions(true);
        options
    }

    /// Small records.
    pub(crate) fn records(&self, compacted: bool) -> Options {
        let mut options = family(DBCompressionType::Lz4, &self.records);
        options.set_disable_auto_compactions(!compacted);
        options.set_write_buffer_size(self.shares.record_buffer_bytes);
        options.set_max_write_buffer_number(2);
        options
    }
}

fn empty(cache: &Cache, capacity_bytes: usize) {
    let mut cache = cache.clone();
    cache.set_capacity(0);
    cache.set_capacity(capacity_bytes);
}

fn family(compression: DBCompressionType, cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_compression_type(compression);
    options.set_block_based_table_factory(&table(Some(cache)));
    options
}

fn table(cache: Option<&Cache>) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_format_version(TABLE_FORMAT);
    match cache {
        Some(cache) => table.set_block_cache(cache),
        None => table.disable_cache(),
    }
    // Most lookups of a record are for one that is not there.
    table.set_bloom_filter(10.0, false);
    table
}

/// Settings of tables written for ingestion. They outlive every writer, which only borrows them.
pub(crate) static STAGING: LazyLock<Options> = LazyLock::new(|| {
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::None);
    options.set_bytes_per_sync(WRITE_BACK_BYTES);
    options.set_block_based_table_factory(&table(None));
    options
});

/// A write that must be on stable storage, with all before it, when it returns.
pub(crate) fn durable() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.set_sync(true);
    options
}

/// The table moves in by its name. Synced by RocksDB: the file, the folder and the manifest.
pub(crate) fn ingestion() -> IngestExternalFileOptions {
    let mut options = IngestExternalFileOptions::default();
    options.set_move_files(true);
    options
}

/// Through the cache of cells, so that they can be handed on where they lie.
pub(crate) fn cell_reads() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options
}

/// One pass over many cells, none of which is wanted again.
pub(crate) fn scan() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_verify_checksums(true);
    options.fill_cache(false);
    options
}

#[cfg(test)]
mod tests {
    use super::{MemoryShares, WRITE_BUFFERS};
    use crate::device_config::{DEVICES_LIMIT, least_memory};

    fn assert_fits(memory: u64, devices: usize) {
        let shares = MemoryShares::of(memory).divided_by(devices);
        let of_device = shares.write_buffer_bytes * WRITE_BUFFERS
            + shares.block_cache_bytes
            + shares.write_queue_bytes * 2
            + shares.staging_files * (2 << 20);
        let sum = of_device * devices + shares.read_streams * (3 << 19);
        assert!(sum as u64 <= memory - memory / 8, "{devices} devices, {memory}: {sum}");
    }

    #[test]
    fn the_shares_fit_the_memory_with_a_quarter_to_spare() {
        for memory in [64 << 20, 256 << 20, 4 << 30] {
            assert_fits(memory, 1);
        }
    }

    #[test]
    fn several_devices_share_the_memory_of_one() {
        for devices in 2..=DEVICES_LIMIT {
            for memory in [least_memory(devices).as_u64(), 1 << 30, 4 << 30] {
                assert_fits(memory, devices);
            }
        }
        assert_eq!(MemoryShares::of(256 << 20).divided_by(1), MemoryShares::of(256 << 20));
    }
}
