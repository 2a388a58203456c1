use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fail::fail_point;
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use rocksdb::WriteBatch;
use tokio::sync::{mpsc, oneshot};

use super::super::LogWriting;
use super::Types;
use super::journaled_database::JournaledDatabase;
use super::log_tail::LogTail;
use super::no_followers::NoFollowers;

/// Writes that wait for the disk. When it is full the Raft core waits.
const QUEUE_LIMIT: usize = 1024;
/// Bytes of the writes that are made with one sync, the last one aside.
const TOGETHER_BYTES: usize = 16 << 20;
/// Entries of a write that is made in place: where several clients write, what they send next is taken in meanwhile.
const IN_PLACE_ENTRIES: usize = 1;
/// How long the last writes may have taken for the next one to be made in place: as long nobody else is served.
const IN_PLACE_LIMIT: Duration = Duration::from_millis(1);

/// One write to the log.
pub(super) struct LogWrite {
    pub(super) batch: WriteBatch,
    /// That it adds to the log.
    pub(super) entries: usize,
    /// Counted up; the tail is told when it is durable.
    pub(super) number: u64,
    pub(super) done: Done,
}

/// Who waits for a write.
pub(super) enum Done {
    /// The Raft core, for appended entries.
    Appended(IOFlushed<Types>),
    /// A caller.
    Waiting(oneshot::Sender<io::Result<()>>),
    /// Nobody: it is the last write, and may get lost.
    Nobody,
}

/// What writes the log: in the order of the queue, one sync for all that waits.
///
/// A write is reported only after the sync that covers it and everything queued before it. After a failed write or
/// sync nothing more is written: what the disk holds is then unknown, and the process must end.
pub(super) enum LogWriter {
    /// By a thread, and by whoever has something to write where that is certain to gain.
    Thread(WritingThread),
    /// By whoever has something to write.
    Inline(Mutex<Worker>),
}

/// A thread that writes.
pub(super) struct WritingThread {
    /// Taken when the writer is dropped.
    queue: Option<mpsc::Sender<LogWrite>>,
    /// As well.
    thread: Option<JoinHandle<()>>,
    /// Held by whoever writes.
    worker: Arc<Mutex<Worker>>,
    no_followers: NoFollowers,
}

impl LogWriter {
    pub(super) fn start(
        log: JournaledDatabase,
        tail: Arc<Mutex<LogTail>>,
        writing: LogWriting,
        no_followers: NoFollowers,
    ) -> io::Result<Self> {
        let synced = writing != LogWriting::Unsynced;
        let worker = Mutex::new(Worker { log, tail, synced, written: 0, took: Duration::ZERO, failure: None });
        if writing == LogWriting::Inline {
            return Ok(Self::Inline(worker));
        }
        let (queue, writes) = mpsc::channel(QUEUE_LIMIT);
        let worker = Arc::new(worker);
        let work = Arc::clone(&worker);
        let thread = std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || run(&work, writes))?;
        Ok(Self::Thread(WritingThread { queue: Some(queue), thread: Some(thread), worker, no_followers }))
    }

    /// Makes a write, or queues it; waits while the queue is full. There is one caller at a time.
    pub(super) async fn write(&self, write: LogWrite) -> io::Result<()> {
        match self {
            Self::Thread(thread) => match thread.write_in_place(write) {
                None => Ok(()),
                Some(write) => {
                    let queue = thread.queue.as_ref().ok_or_else(stopped)?;
                    queue.send(write).await.map_err(|_| stopped())
                }
            },
            Self::Inline(worker) => {
                worker.lock().write_all(vec![write]);
                Ok(())
            }
        }
    }

    /// Queues a write that nobody waits for, if there is room.
    pub(super) fn write_last(&self, write: LogWrite) {
        match self {
            Self::Thread(thread) => {
                if thread.queue.as_ref().is_none_or(|queue| queue.try_send(write).is_err()) {
                    tracing::debug!("the last write to the Raft log is left out");
                }
            }
            Self::Inline(worker) => worker.lock().write_all(vec![write]),
        }
    }
}

impl WritingThread {
    /// Makes a write here if that gains; gives it back otherwise. Waking the thread and being woken by it takes a lone
    /// writer longer than the rest of a write, and there is nothing else to be done meanwhile.
    fn write_in_place(&self, write: LogWrite) -> Option<LogWrite> {
        if !self.no_followers.get() || write.entries != IN_PLACE_ENTRIES {
            return Some(write);
        }
        match self.worker.try_lock() {
            // Everything before it is written: the queue is empty, and the thread sleeps.
            Some(mut worker) if worker.written + 1 == write.number && worker.took <= IN_PLACE_LIMIT => {
                worker.write_all(vec![write]);
                None
            }
            _ => Some(write),
        }
    }
}

impl Drop for WritingThread {
    /// Waits until the queued writes are made, so that the instance is closed when its owner is gone.
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the Raft log panicked");
        }
    }
}

fn run(worker: &Mutex<Worker>, mut writes: mpsc::Receiver<LogWrite>) {
    while let Some(first) = writes.blocking_recv() {
        let mut size_bytes = first.batch.size_in_bytes();
        let mut drained = vec![first];
        while size_bytes < TOGETHER_BYTES
            && drained.len() < QUEUE_LIMIT
            && let Ok(next) = writes.try_recv()
        {
            size_bytes += next.batch.size_in_bytes();
            drained.push(next);
        }
        worker.lock().write_all(drained);
    }
}

pub(super) struct Worker {
    log: JournaledDatabase,
    tail: Arc<Mutex<LogTail>>,
    synced: bool,
    /// Number of the last write.
    written: u64,
    /// How long the last writes took that were made together.
    took: Duration,
    failure: Option<String>,
}

impl Worker {
    fn write_all(&mut self, writes: Vec<LogWrite>) {
        let sync = writes.iter().any(|write| !matches!(write.done, Done::Nobody));
        let mut waiting = Vec::with_capacity(writes.len());
        let mut batches = Vec::with_capacity(writes.len());
        for write in writes {
            batches.push(write.batch);
            waiting.push((write.number, write.done));
        }
        let begun = Instant::now();
        if self.failure.is_none()
            && let Err(error) = self.log.write(batches, sync && self.synced)
        {
            tracing::error!(%error, "cannot write the Raft log");
            self.failure = Some(error.to_string());
        }
        self.took = begun.elapsed();
        fail_point!("log-synced");
        if let (None, true, Some((number, _))) = (&self.failure, sync, waiting.last()) {
            self.tail.lock().set_durable(*number);
        }
        for (number, done) in waiting {
            self.written = number;
            done.report(self.failure.as_deref());
        }
    }
}

impl Done {
    fn report(self, failure: Option<&str>) {
        let result = match failure {
            None => Ok(()),
            Some(why) => Err(io::Error::other(why.to_owned())),
        };
        match self {
            Self::Appended(callback) => callback.io_completed(result),
            Self::Waiting(waiter) => {
                if waiter.send(result).is_err() {
                    tracing::debug!("nobody waits for a write to the Raft log any more");
                }
            }
            Self::Nobody => {}
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("the writer of the Raft log has stopped")
}
