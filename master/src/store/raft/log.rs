use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use parking_lot::Mutex;
use rocksdb::{DB, Direction, IteratorMode, WriteBatch};
use tokio::sync::{oneshot, watch};

use super::super::LogWriting;
use super::journaled_database::JournaledDatabase;
use super::log_reader::LogReader;
use super::log_records::{
    COMMITTED_KEY, ENTRY_PREFIX, PURGED_KEY, VOTE_KEY, damaged, database, decode_entry, encode_entry, encode_log_id,
    encode_vote, entry_key, index_of, read_log_id, read_vote,
};
use super::log_tail::LogTail;
use super::log_writer::{Done, LogWrite, LogWriter};
use super::no_followers::NoFollowers;
use super::{Entry, LogId, Types, Vote};

/// Entries removed by one write when the log is purged.
const PURGE_STEP_ENTRIES: u64 = 4096;

/// The Raft log and vote: a RocksDB instance of its own, with a journal.
///
/// Votes, entries, truncations and purges go to one writer in the order they come in. A vote or truncation returns,
/// and an append is reported, after the sync that covers it. The last committed log id goes with whatever is written
/// next: it only spares a restart to wait for the leader's word, and is not worth a wake-up of the writer with each commit.
pub(crate) struct LogStore {
    log: LogReader,
    writer: LogWriter,
    no_followers: NoFollowers,
    writes: u64,
    committed: Option<LogId>,
    committed_is_written: bool,
}

impl LogStore {
    /// Opens the log in `dir` and checks that it has no holes; makes it only if `create`.
    pub(crate) fn open(dir: &Path, create: bool, writing: LogWriting) -> io::Result<Self> {
        let mut journaled = JournaledDatabase::open(dir, create)?;
        let database = Arc::clone(journaled.database());
        let db = database.db();
        let vote = read_vote(db)?;
        let committed = read_log_id(db, COMMITTED_KEY)?;
        let purged = read_log_id(db, PURGED_KEY)?;
        let Checked { start, last, left_behind } = check_entries(db, purged)?;
        if !left_behind.is_empty() {
            journaled.write(vec![left_behind], true)?;
        }
        let tail = Arc::new(Mutex::new(LogTail::new(purged, start, last)));
        let no_followers = NoFollowers::default();
        let writer = LogWriter::start(journaled, Arc::clone(&tail), writing, no_followers.clone())?;
        let log = LogReader { database, tail, vote: Arc::new(Mutex::new(vote)) };
        Ok(Self { log, writer, no_followers, writes: 0, committed, committed_is_written: true })
    }

    /// True if nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.log.tail.lock().last().is_none() && self.log.vote.lock().is_none()
    }

    /// To be told whether this master sends nobody entries.
    pub(super) fn no_followers(&self) -> NoFollowers {
        self.no_followers.clone()
    }

    /// Whether an entry was written, and is not in memory alone.
    #[cfg(test)]
    pub(super) fn is_written(&self, index: u64) -> bool {
        self.log.database.db().get_pinned(entry_key(index)).unwrap().is_some()
    }

    /// Waits until the instance writes and merges no tables any more.
    #[cfg(test)]
    pub(super) fn wait_for_tables(&self) {
        self.log.database.db().wait_for_compact(&rocksdb::WaitForCompactOptions::default()).unwrap();
    }

    /// Its channel closes once the instance is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<()> {
        self.log.database.closed()
    }

    /// The next write, which takes the committed log id along.
    fn next_batch(&mut self, mut batch: WriteBatch) -> (WriteBatch, u64) {
        if !std::mem::replace(&mut self.committed_is_written, true) {
            match &self.committed {
                Some(log_id) => batch.put(COMMITTED_KEY, encode_log_id(log_id)),
                None => batch.delete(COMMITTED_KEY),
            }
        }
        self.writes += 1;
        (batch, self.writes)
    }

    async fn write_and_wait(&mut self, batch: WriteBatch) -> io::Result<()> {
        let (waiter, written) = oneshot::channel();
        let (batch, number) = self.next_batch(batch);
        self.writer.write(LogWrite { batch, entries: 0, number, done: Done::Waiting(waiter) }).await?;
        written.await.map_err(|_| io::Error::other("the writer of the Raft log has stopped"))?
    }

    /// Entries `range` in steps, each one write; the first also carries `records`.
    async fn remove(&mut self, range: Range<u64>, records: WriteBatch) -> io::Result<()> {
        let mut batch = records;
        let mut from = range.start;
        loop {
            let to = range.end.min(from.saturating_add(PURGE_STEP_ENTRIES));
            (from..to).for_each(|index| batch.delete(entry_key(index)));
            self.write_and_wait(std::mem::take(&mut batch)).await?;
            from = to;
            if from >= range.end {
                return Ok(());
            }
        }
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let tail = self.log.tail.lock();
        Ok(LogState { last_purged_log_id: tail.purged(), last_log_id: tail.last() })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.log.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut batch = WriteBatch::default();
        batch.put(VOTE_KEY, encode_vote(vote));
        self.write_and_wait(batch).await?;
        *self.log.vote.lock() = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.committed = committed;
        self.committed_is_written = false;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut batch, number) = self.next_batch(WriteBatch::default());
        let mut appended = 0;
        {
            let mut tail = self.log.tail.lock();
            for entry in entries {
                let index = entry.log_id.index;
                if let Some(due) = tail.next_index().filter(|due| *due != index) {
                    return Err(io::Error::other(format!("entry {index} appended to the log where {due} is due")));
                }
                let value = encode_entry(&entry);
                batch.put(entry_key(index), &value);
                tail.push(entry, value.len(), number);
                appended += 1;
            }
        }
        self.writer.write(LogWrite { batch, entries: appended, number, done: Done::Appended(callback) }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let removed = {
            let mut tail = self.log.tail.lock();
            let first = last.map_or(0, |last| last.index + 1);
            let removed = tail.clamp(first..u64::MAX);
            tail.truncate_after(last);
            removed
        };
        // One write: entries are in the log or not, but never with a hole before them.
        let mut batch = WriteBatch::default();
        removed.rev().for_each(|index| batch.delete(entry_key(index)));
        self.write_and_wait(batch).await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let removed = {
            let mut tail = self.log.tail.lock();
            if tail.purged() >= Some(upto) {
                return Ok(());
            }
            let removed = tail.clamp(0..upto.index.saturating_add(1));
            tail.purge(upto);
            removed
        };
        // The mark goes with the first step: what a crash leaves below it is removed at the next start.
        let mut records = WriteBatch::default();
        records.put(PURGED_KEY, encode_log_id(&upto));
        self.remove(removed, records).await
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        if !self.committed_is_written {
            let (batch, number) = self.next_batch(WriteBatch::default());
            self.writer.write_last(LogWrite { batch, entries: 0, number, done: Done::Nobody });
        }
    }
}

/// What the entries on the disk are.
struct Checked {
    /// Index of the first one.
    start: u64,
    last: Option<LogId>,
    /// Removes what a purge left behind.
    left_behind: WriteBatch,
}

/// Refuses a log with a hole.
fn check_entries(db: &DB, purged: Option<LogId>) -> io::Result<Checked> {
    let first = purged.map_or(0, |purged| purged.index + 1);
    let mut left_behind = WriteBatch::default();
    let mut previous: Option<u64> = purged.map(|purged| purged.index);
    let mut start = first;
    let mut last = None;
    for item in db.iterator(IteratorMode::From(&[ENTRY_PREFIX], Direction::Forward)) {
        let (key, value) = item.map_err(database)?;
        if key.first() != Some(&ENTRY_PREFIX) {
            break;
        }
        let index = index_of(&key)?;
        if index < first {
            left_behind.delete(&key);
            continue;
        }
        if previous.is_some_and(|previous| previous + 1 != index) {
            return Err(damaged(&format!("the entry before {index} is missing")));
        }
        if last.is_none() {
            start = index;
        }
        previous = Some(index);
        last = Some(value);
    }
    let last = match (last, previous) {
        (Some(value), Some(index)) => Some(decode_entry(index, &value)?.log_id),
        _ => None,
    };
    Ok(Checked { start, last, left_behind })
}
