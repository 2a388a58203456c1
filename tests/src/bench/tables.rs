//! What very many tables cost a node's store: ingesting one more, opening it again, and memory.

use std::time::{Duration, Instant};
use std::{fs, io};

use cairn_codec::{CellId, Frame};
use cairn_node::Fatal;
use cairn_node::store::{LogSyncing, MemoryShares, Position, Store, StoreError, StoreOptions, Tally, Target};
use cairn_proto::ids::{SegmentId, SessionId, TransactionId};

use super::latencies::Latencies;
use crate::bare_cluster::folder_on_disk;
use crate::process::Process;
use crate::resident::{current_bytes, peak_bytes};

/// Payload of the only cell of each table.
const CELL_BYTES: usize = 16 << 10;
/// What a node is given by default.
const NODE_MEMORY_BYTES: u64 = 256 << 20;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct TablesOptions {
    /// Tables, each of one chunk.
    pub tables: u32,
}

/// Figures of one store.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct TablesFigures {
    /// Tables in it.
    pub tables: u32,
    /// From the first cell of a chunk until it was sealed, its table written, synced and ingested.
    pub seal_p50_ms: f64,
    /// The same.
    pub seal_p99_ms: f64,
    /// Of the last tenth of the tables.
    pub last_seal_p99_ms: f64,
    /// Opening the store again.
    pub reopen_s: f64,
    /// Memory of this process at its peak, until the store was closed.
    pub peak_mib: u64,
    /// Memory of this process after the store was opened again.
    pub reopened_mib: u64,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum TablesError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The folder or the runtime could not be made.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Fills a new store with tables, each synced as a node does, and opens it again.
pub fn measure_tables(options: TablesOptions) -> Result<TablesFigures, TablesError> {
    let folder = folder_on_disk();
    let store_options = StoreOptions {
        database: folder.path().join("db"),
        staging: folder.path().join("staging"),
        owner: "bench".to_owned(),
        limit_bytes: None,
        shares: MemoryShares::of(NODE_MEMORY_BYTES),
        bulk_from_bytes: 0,
        syncing: LogSyncing::Synced,
    };
    fs::create_dir_all(&store_options.staging)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (mut all, mut last) = (Latencies::default(), Latencies::default());
    let store = Store::open(&store_options, Fatal::new())?;
    for number in 0..options.tables {
        let took = runtime.block_on(seal_one(&store, number))?;
        all.add(took);
        if number >= options.tables - options.tables / 10 {
            last.add(took);
        }
    }
    let me = Process::new(std::process::id());
    let peak_mib = peak_bytes(me) >> 20;
    drop(store);
    let started = Instant::now();
    let reopened = Store::open(&store_options, Fatal::new())?;
    let reopen_s = started.elapsed().as_secs_f64();
    let reopened_mib = current_bytes(me) >> 20;
    drop(reopened);
    let (all, last) = (all.sorted(), last.sorted());
    let ms = |took: Duration| took.as_secs_f64() * 1000.0;
    Ok(TablesFigures {
        tables: options.tables,
        seal_p50_ms: ms(all.percentile(50)),
        seal_p99_ms: ms(all.percentile(99)),
        last_seal_p99_ms: ms(last.percentile(99)),
        reopen_s,
        peak_mib,
        reopened_mib,
    })
}

async fn seal_one(store: &Store, number: u32) -> Result<Duration, StoreError> {
    let transaction = TransactionId { session: SessionId(1), sequence: u64::from(number) };
    let target = Target { segment: SegmentId::generate(), transaction, chunk_index: 0 };
    let payload = crate::workload::random_bytes(u64::from(number), CELL_BYTES);
    let position = Position { stripe: 0, row: 0 };
    let id = CellId { segment: *target.segment.as_bytes(), stripe: position.stripe, row: position.row, chunk: 0 };
    let frame = Frame::from_payload(&id, &payload);
    let tally = Tally { cells: 1, length_bytes: payload.len() as u64, digest: frame.digest() };
    let started = Instant::now();
    store.put(&target, vec![frame], || Ok(())).await?;
    store.seal(&target, Vec::new(), &tally, || Ok(())).await?;
    Ok(started.elapsed())
}
