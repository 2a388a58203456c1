use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use fail::fail_point;
use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use rocksdb::WriteBatch;
use tokio::sync::{mpsc, oneshot};

use super::super::LogWriting;
use super::super::database::{Database, unsynced};
use super::Types;
use super::log_records::database;
use super::log_tail::LogTail;

/// Writes that wait for the disk. When it is full the Raft core waits.
const QUEUE_LIMIT: usize = 1024;

/// One write to the log.
pub(super) struct LogWrite {
    pub(super) batch: WriteBatch,
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
    /// By a thread.
    Thread {
        /// Taken when the writer is dropped.
        queue: Option<mpsc::Sender<LogWrite>>,
        /// As well.
        thread: Option<JoinHandle<()>>,
    },
    /// By whoever has something to write.
    Inline(Mutex<Worker>),
}

impl LogWriter {
    pub(super) fn start(database: Arc<Database>, tail: Arc<Mutex<LogTail>>, writing: LogWriting) -> io::Result<Self> {
        let worker = Worker { database, tail, synced: writing != LogWriting::Unsynced, failure: None };
        if writing == LogWriting::Inline {
            return Ok(Self::Inline(Mutex::new(worker)));
        }
        let (queue, writes) = mpsc::channel(QUEUE_LIMIT);
        let thread = std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || worker.run(writes))?;
        Ok(Self::Thread { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a write; waits while the queue is full.
    pub(super) async fn write(&self, write: LogWrite) -> io::Result<()> {
        match self {
            Self::Thread { queue, .. } => {
                let queue = queue.as_ref().ok_or_else(stopped)?;
                queue.send(write).await.map_err(|_| stopped())
            }
            Self::Inline(worker) => {
                worker.lock().write_all(vec![write]);
                Ok(())
            }
        }
    }

    /// Queues a write that nobody waits for, if there is room.
    pub(super) fn write_last(&self, write: LogWrite) {
        match self {
            Self::Thread { queue, .. } => {
                if queue.as_ref().is_none_or(|queue| queue.try_send(write).is_err()) {
                    tracing::debug!("the last write to the Raft log is left out");
                }
            }
            Self::Inline(worker) => worker.lock().write_all(vec![write]),
        }
    }
}

impl Drop for LogWriter {
    /// Waits until the queued writes are made, so that the instance is closed when its owner is gone.
    fn drop(&mut self) {
        let Self::Thread { queue, thread } = self else { return };
        *queue = None;
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer of the Raft log panicked");
        }
    }
}

pub(super) struct Worker {
    database: Arc<Database>,
    tail: Arc<Mutex<LogTail>>,
    synced: bool,
    failure: Option<String>,
}

impl Worker {
    fn run(mut self, mut writes: mpsc::Receiver<LogWrite>) {
        while let Some(first) = writes.blocking_recv() {
            let mut drained = vec![first];
            while drained.len() < QUEUE_LIMIT
                && let Ok(next) = writes.try_recv()
            {
                drained.push(next);
            }
            self.write_all(drained);
        }
    }

    fn write_all(&mut self, writes: Vec<LogWrite>) {
        let sync = writes.iter().any(|write| !matches!(write.done, Done::Nobody));
        let mut waiting = Vec::with_capacity(writes.len());
        let mut batches = Vec::with_capacity(writes.len());
        for write in writes {
            batches.push(write.batch);
            waiting.push((write.number, write.done));
        }
        if self.failure.is_none()
            && let Err(error) = self.make_durable(batches, sync)
        {
            tracing::error!(%error, "cannot write the Raft log");
            self.failure = Some(error.to_string());
        }
        fail_point!("log-synced");
        if let (None, true, Some((number, _))) = (&self.failure, sync, waiting.last()) {
            self.tail.lock().set_durable(*number);
        }
        for (_, done) in waiting {
            done.report(self.failure.as_deref());
        }
    }

    fn make_durable(&self, batches: Vec<WriteBatch>, sync: bool) -> io::Result<()> {
        let db = self.database.db();
        for batch in batches {
            db.write_opt(batch, &unsynced()).map_err(database)?;
        }
        fail_point!("log-written");
        if sync && self.synced { db.flush_wal(true).map_err(database) } else { Ok(()) }
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
