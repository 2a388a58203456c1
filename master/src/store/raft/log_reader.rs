use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use openraft::OptionalSend;
use openraft::storage::RaftLogReader;
use parking_lot::Mutex;
use rocksdb::{DB, Direction, IteratorMode, ReadOptions};

use super::super::database::Database;
use super::log_records::{damaged, database, decode_entry, entry_key, index_of};
use super::log_tail::LogTail;
use super::{Entry, Types, Vote};

/// Bytes of entries in one request to a follower, if more than one entry is sent.
const REPLICATION_LIMIT_BYTES: usize = 4 << 20;
/// Entries read at a time to be applied.
const READ_BATCH_ENTRIES: u64 = 64;

/// Reads the log, past what is durable.
#[derive(Clone)]
pub(crate) struct LogReader {
    pub(super) database: Arc<Database>,
    pub(super) tail: Arc<Mutex<LogTail>>,
    pub(super) vote: Arc<Mutex<Option<Vote>>>,
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
