use std::sync::Arc;
use std::thread::JoinHandle;

use rocksdb::{ErrorKind, WriteBatch, WriteOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::change::Change;
use super::database::Database;
use super::error::StoreError;
use super::record_copies::RecordCopy;
use super::settings;
use crate::fatal::Fatal;

/// Requests that may wait for the writer.
const QUEUE_REQUESTS: usize = 1024;

/// Bytes after which a batch is closed, so that one sync does not wait for too much.
const BATCH_BYTES: usize = 4 << 20;

/// Whether a write must be on stable storage before it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It, and every logged write before it.
    Synced,
    /// Readable; on stable storage with the next synced write.
    Buffered,
}

/// Whether a write that must be durable is made so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogSyncing {
    /// As it must be.
    #[default]
    Synced,
    /// Never. For the power cut that must be noticed, and for nothing else: no configuration asks for it.
    Unsynced,
}

/// The only thread that writes to the log. It turns all that waits into one batch with one sync.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Request>>,
    room: Arc<Semaphore>,
    room_bytes: usize,
    thread: Option<JoinHandle<()>>,
}

struct Request {
    changes: Vec<Change>,
    durability: Durability,
    /// A family of records to make anew behind the changes.
    renewal: Option<RecordCopy>,
    done: oneshot::Sender<Result<(), StoreError>>,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    pub(crate) fn start(
        database: Arc<Database>,
        queue_bytes: usize,
        syncing: LogSyncing,
        fatal: Fatal,
    ) -> Result<Self, StoreError> {
        let (queue, requests) = mpsc::channel(QUEUE_REQUESTS);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_batches(&database, requests, syncing, &fatal))
            .map_err(|error| StoreError::WriteFailed { why: format!("no writer thread: {error}") })?;
        let room_bytes = queue_bytes.min(Semaphore::MAX_PERMITS).min(u32::MAX as usize);
        Ok(Self { queue: Some(queue), room: Arc::new(Semaphore::new(room_bytes)), room_bytes, thread: Some(thread) })
    }

    /// Applies `changes` as one: all or none. Waits for its turn while the queue is full.
    pub(crate) async fn write(&self, changes: Vec<Change>, durability: Durability) -> Result<(), StoreError> {
        self.ask(changes, durability, None).await
    }

    /// Makes a family of records anew. Nothing is written meanwhile.
    pub(crate) async fn renew(&self, copy: RecordCopy) -> Result<(), StoreError> {
        self.ask(Vec::new(), Durability::Synced, Some(copy)).await
    }

    async fn ask(
        &self,
        changes: Vec<Change>,
        durability: Durability,
        renewal: Option<RecordCopy>,
    ) -> Result<(), StoreError> {
        let stopped = || StoreError::WriteFailed { why: "the writer has stopped".to_owned() };
        let size = changes.iter().map(Change::size_bytes).sum::<usize>().clamp(1, self.room_bytes);
        let permits = u32::try_from(size).expect("clamped to the room, which fits");
        let room = Arc::clone(&self.room).acquire_many_owned(permits).await.map_err(|_| stopped())?;
        let (done, answer) = oneshot::channel();
        let request = Request { changes, durability, renewal, done, _room: room };
        self.queue.as_ref().ok_or_else(stopped)?.send(request).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    /// Returns when the thread has written what was queued and let go of the database.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's writer thread panicked");
        }
    }
}

fn write_batches(database: &Arc<Database>, mut requests: mpsc::Receiver<Request>, syncing: LogSyncing, fatal: &Fatal) {
    while let Some(first) = requests.blocking_recv() {
        let gathered = gather(first, &mut requests);
        let outcome = match fatal.cause() {
            Some(why) => Err(StoreError::WriteFailed { why }),
            None => write(database, &gathered, syncing, fatal),
        };
        for request in gathered {
            let renewed = request.renewal.filter(|_| outcome.is_ok()).map(|copy| database.renew_records(copy));
            let outcome = renewed.unwrap_or_else(|| outcome.clone());
            // Nobody waits any more: the caller is gone, the write is done all the same.
            let _ = request.done.send(outcome);
        }
    }
}

fn gather(first: Request, requests: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let size = |request: &Request| request.changes.iter().map(Change::size_bytes).sum::<usize>();
    let mut bytes = size(&first);
    let mut gathered = vec![first];
    while bytes < BATCH_BYTES
        && let Ok(request) = requests.try_recv()
    {
        bytes += size(&request);
        gathered.push(request);
    }
    gathered
}

fn write(database: &Database, requests: &[Request], syncing: LogSyncing, fatal: &Fatal) -> Result<(), StoreError> {
    let bytes = requests.iter().flat_map(|request| &request.changes).map(|change| change.size_bytes() + 16).sum();
    let mut batch = WriteBatch::with_capacity_bytes(bytes);
    for change in requests.iter().flat_map(|request| &request.changes) {
        change.add_to(&mut batch, database);
    }
    let synced = requests.iter().any(|request| request.durability == Durability::Synced);
    let synced = synced && syncing == LogSyncing::Synced;
    let options = if synced { settings::durable() } else { WriteOptions::default() };
    let written = database.rocks().write_opt(batch, &options);
    written.map_err(|error| match error.kind() {
        ErrorKind::Corruption => damaged_table(database, &error, fatal),
        _ => write_failure(&error, fatal),
    })
}

/// RocksDB takes no writes any more, because it met a damaged block when it compacted tables. The next start does not
/// compact them.
fn damaged_table(database: &Database, error: &rocksdb::Error, fatal: &Fatal) -> StoreError {
    let why = error.to_string();
    if let Err(error) = database.mark_damaged() {
        tracing::error!(%error, "the damaged table is met again at the next start");
    }
    fatal.raise(format!("a table of its database is damaged: {why}"));
    StoreError::WriteFailed { why }
}

/// Tells a full disk, from which RocksDB recovers by itself, from one that lost a write.
pub(crate) fn write_failure(error: &rocksdb::Error, fatal: &Fatal) -> StoreError {
    let why = error.to_string();
    if error.kind() == ErrorKind::IOError && !why.contains("No space left") {
        fatal.raise(format!("the disk lost a write: {why}"));
    }
    StoreError::WriteFailed { why }
}
