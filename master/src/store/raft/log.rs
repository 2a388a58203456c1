use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::path::Path;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use openraft::storage::{IOFlushed, RaftLogReader, RaftLogStorage};
use openraft::{LogState, OptionalSend};
use parking_lot::Mutex;
use rocksdb::{DB, Direction, IteratorMode, ReadOptions, WriteBatch};
use tokio::sync::{oneshot, watch};

use super::super::database::{Database, WalRecovery};
use super::log_records::{
    COMMITTED_KEY, ENTRY_PREFIX, PURGED_KEY, VOTE_KEY, damaged, database, decode_entry, encode_entry, encode_log_id,
    encode_vote, entry_key, index_of, read_log_id, read_vote,
};
use super::log_tail::LogTail;
use super::log_writer::{Done, LogWrite, LogWriter};
use super::{Entry, LogId, Types, Vote};

/// Bytes of entries in one request to a follower, if more than one entry is sent.
const REPLICATION_LIMIT_BYTES: usize = 4 << 20;
/// Entries read at a time to be applied.
const READ_BATCH_ENTRIES: u64 = 64;
/// Entries removed by one write when the log is purged.
const PURGE_STEP_ENTRIES: u64 = 4096;

/// The Raft log and vote: a RocksDB instance of its own.
///
/// Votes, entries, truncations and purges go to one thread in the order they come in. A vote or truncation returns,
/// and an append is reported, after the sync that covers it. The last committed log id is written without a sync.
pub(crate) struct LogStore {
    log: LogReader,
    writer: LogWriter,
    writes: u64,
}

/// Reads the log, past what is durable.
#[derive(Clone)]
pub(crate) struct LogReader {
    database: Arc<Database>,
    tail: Arc<Mutex<LogTail>>,
    vote: Arc<Mutex<Option<Vote>>>,
}

impl LogStore {
    /// Opens the log in `dir` and checks that it has no holes; makes it only if `create`.
    pub(crate) fn open(dir: &Path, create: bool) -> io::Result<Self> {
        let opened = Database::open(dir, create, WalRecovery::TornTailOnly).map_err(database)?;
        let db = opened.db();
        let vote = read_vote(db)?;
        let purged = read_log_id(db, PURGED_KEY)?;
        let (start, last) = check_entries(db, purged)?;
        let database = Arc::new(opened);
        let tail = Arc::new(Mutex::new(LogTail::new(purged, start, last)));
        let writer = LogWriter::start(Arc::clone(&database), Arc::clone(&tail))?;
        let log = LogReader { database, tail, vote: Arc::new(Mutex::new(vote)) };
        Ok(Self { log, writer, writes: 0 })
    }

    /// True if nothing was ever written.
    pub(crate) fn is_empty(&self) -> bool {
        self.log.tail.lock().last().is_none() && self.log.vote.lock().is_none()
    }

    /// Its channel closes once the instance is closed.
    pub(crate) fn closed(&self) -> watch::Receiver<()> {
        self.log.database.closed()
    }

    fn next_write(&mut self) -> u64 {
        self.writes += 1;
        self.writes
    }

    async fn write_and_wait(&mut self, batch: WriteBatch) -> io::Result<()> {
        let (waiter, written) = oneshot::channel();
        let number = self.next_write();
        self.writer.write(LogWrite { batch, number, done: Done::Waiting(waiter) }).await?;
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
        let mut batch = WriteBatch::default();
        match committed {
            Some(log_id) => batch.put(COMMITTED_KEY, encode_log_id(&log_id)),
            None => batch.delete(COMMITTED_KEY),
        }
        let number = self.next_write();
        self.writer.write(LogWrite { batch, number, done: Done::Nobody }).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        read_log_id(self.log.database.db(), COMMITTED_KEY)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let number = self.next_write();
        let mut batch = WriteBatch::default();
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
            }
        }
        self.writer.write(LogWrite { batch, number, done: Done::Appended(callback) }).await
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

impl LogReader {
    /// Entries of `range`, while their sizes add up to at most `limit_bytes`; at least one if there is one.
    async fn read(&self, range: Range<u64>, limit_bytes: usize) -> io::Result<Vec<Entry>> {
        let (range, cached_from, cached) = {
            let tail = self.tail.lock();
            let range = tail.clamp(range);
            let cached_from = tail.cached_from();
            let cached = if cached_from <= range.start { tail.cached(range.clone(), limit_bytes) } else { Vec::new() };
            (range, cached_from, cached)
        };
        if range.is_empty() || cached_from <= range.start {
            return Ok(cached);
        }
        let from_disk = range.start..range.end.min(cached_from);
        let database = Arc::clone(&self.database);
        let mut entries = tokio::task::spawn_blocking(move || read_entries(database.db(), from_disk, limit_bytes))
            .await
            .map_err(io::Error::other)??;
        let next = range.start + entries.len() as u64;
        if next == cached_from && next < range.end && limit_bytes == usize::MAX {
            entries.extend(self.tail.lock().cached(next..range.end, limit_bytes));
        }
        Ok(entries)
    }
}

impl RaftLogReader<Types> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read(bounds(&range), usize::MAX).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start..end, REPLICATION_LIMIT_BYTES).await
    }

    /// In batches, so that a long log is not read into memory at once.
    async fn entries_stream<RB>(&mut self, range: RB) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let asked = bounds(&range);
        let end = asked.end.min(self.tail.lock().next_index().unwrap_or(0));
        let batches = stream::unfold(Some(asked.start..end), move |rest| {
            let reader = reader.clone();
            async move {
                let rest = rest.filter(|rest| !rest.is_empty())?;
                let batch = rest.start..rest.end.min(rest.start.saturating_add(READ_BATCH_ENTRIES));
                match reader.read(batch, REPLICATION_LIMIT_BYTES).await {
                    Ok(entries) if entries.first().is_some_and(|entry| entry.log_id.index == rest.start) => {
                        let next = rest.start + entries.len() as u64;
                        Some((entries.into_iter().map(Ok).collect(), Some(next..rest.end)))
                    }
                    // The state machine must not go on behind a gap.
                    Ok(_) => Some((vec![Err(damaged(&format!("entry {} is missing", rest.start)))], None)),
                    Err(error) => Some((vec![Err(error)], None)),
                }
            }
        });
        batches.flat_map(stream::iter)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(*self.vote.lock())
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

fn read_entries(db: &DB, range: Range<u64>, limit_bytes: usize) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut size_bytes = 0_usize;
    let mut due = range.start;
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(entry_key(range.end));
    for item in db.iterator_opt(IteratorMode::From(&entry_key(range.start), Direction::Forward), options) {
        let (key, value) = item.map_err(database)?;
        size_bytes = size_bytes.saturating_add(value.len());
        if size_bytes > limit_bytes && !entries.is_empty() {
            return Ok(entries);
        }
        if index_of(&key)? != due {
            return Err(damaged(&format!("entry {due} is missing")));
        }
        entries.push(decode_entry(due, &value)?);
        due += 1;
    }
    if due < range.end { Err(damaged(&format!("entry {due} is missing"))) } else { Ok(entries) }
}

/// Index of the first entry, and the last one. Removes what a purge left behind, and refuses a log with a hole.
fn check_entries(db: &DB, purged: Option<LogId>) -> io::Result<(u64, Option<LogId>)> {
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
    db.write(left_behind).map_err(database)?;
    match (last, previous) {
        (Some(value), Some(index)) => Ok((start, Some(decode_entry(index, &value)?.log_id))),
        _ => Ok((start, None)),
    }
}
