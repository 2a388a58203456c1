//! A journal: records that are on the disk before what they say is done elsewhere.
//!
//! Files have their final size from the start and are written with zeros ahead of the records. So a sync that makes a
//! record durable has neither a new size nor new blocks to make durable with it, which a file system with a journal of
//! its own takes several more writes for. Every record is synced before the next one is written: a broken record
//! with a whole one behind it was durable once, and is damage. One with nothing behind it was torn by a crash, unless
//! none of its sectors is missing.

mod damage;
mod layout;
mod scan;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use damage::JournalError;
pub(crate) use layout::RecordNumber;

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cairn_proto::storage::sync_dir;

use layout::SegmentHeader;
use segment::Segment;

/// Size of a file, if no single record needs more.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Bytes of memory kept for the next record.
const BUFFER_BYTES: usize = 1 << 20;

/// A journal that is written.
///
/// The directory holds one file for each segment, named for the number of its first record; segments follow each other
/// without a gap, and only the newest is written.
#[derive(Debug)]
pub(crate) struct Journal {
    dir: PathBuf,
    newest: Segment,
    /// First numbers of the segments before the newest, oldest first.
    older: VecDeque<RecordNumber>,
    next: RecordNumber,
    buffer: Vec<u8>,
}

impl Journal {
    /// Whether anything of a journal is in a directory.
    pub(crate) fn exists(dir: &Path) -> io::Result<bool> {
        Ok(!segments(dir)?.is_empty())
    }

    /// Calls `replay` with the parts of each record behind `done`, in the order they were written. A record that a
    /// crash tore, the last one, is left out.
    ///
    /// # Errors
    /// When records are missing or damaged, or `replay` fails.
    pub(crate) fn replay(
        dir: &Path,
        done: RecordNumber,
        mut replay: impl FnMut(RecordNumber, Vec<&[u8]>) -> io::Result<()>,
    ) -> Result<RecordNumber, JournalError> {
        let segments = segments(dir)?;
        let mut last = done;
        // Whatever is in a segment before the one that the next record is in was done.
        let needed = segments.partition_point(|first| *first <= done.next()).saturating_sub(1);
        if segments.get(needed).is_none_or(|first| *first > done.next()) {
            return Err(JournalError::Missing { number: done.next(), dir: dir.to_owned() });
        }
        for first in &segments[needed..] {
            if *first > last.next() {
                return Err(JournalError::Missing { number: last.next(), dir: dir.to_owned() });
            }
            let path = path_of(dir, *first);
            let bytes = fs::read(&path).map_err(|source| JournalError::Unreadable { path: path.clone(), source })?;
            let damaged = |damage| JournalError::Damaged { path: path.clone(), damage };
            for record in scan::scan(&bytes, *first).map_err(damaged)? {
                if record.number > last {
                    replay(record.number, record.parts().map_err(damaged)?)?;
                    last = record.number;
                }
            }
        }
        Ok(last)
    }

    /// Begins to write behind `done`: all before it is done elsewhere, durably, and its segments are removed.
    ///
    /// A crash leaves the earlier segments, or a new one and some of them.
    pub(crate) fn begin(dir: &Path, done: RecordNumber) -> io::Result<Self> {
        let next = done.next();
        let older = segments(dir)?.into_iter().filter(|first| *first != next).collect();
        let newest = create_segment(dir, next, 0)?;
        let mut journal = Self { dir: dir.to_owned(), newest, older, next, buffer: Vec::new() };
        journal.release(done)?;
        Ok(journal)
    }

    /// The number of the record that is written next.
    pub(crate) fn next(&self) -> RecordNumber {
        self.next
    }

    /// Writes a record of several parts; it is durable after the next [`Self::sync`]. After a failure nothing more may
    /// be written. Says whether that began another segment.
    pub(crate) fn append<'p>(&mut self, parts: impl Iterator<Item = &'p [u8]>) -> io::Result<bool> {
        self.buffer.clear();
        layout::encode_record(&mut self.buffer, self.next, parts)?;
        let begins = !self.newest.has_room(self.buffer.len());
        if begins {
            let full = std::mem::replace(&mut self.newest, create_segment(&self.dir, self.next, self.buffer.len())?);
            self.older.push_back(full.first());
        }
        self.newest.append(&mut self.buffer)?;
        self.buffer.shrink_to(BUFFER_BYTES);
        self.next = self.next.next();
        Ok(begins)
    }

    /// Makes all records durable.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.newest.sync()
    }

    /// Removes segments of which nothing is needed any more, because what their records say is done elsewhere, durably.
    pub(crate) fn release(&mut self, done: RecordNumber) -> io::Result<()> {
        while let Some(first) = self.older.front().copied() {
            let behind = self.older.get(1).copied().unwrap_or(self.newest.first());
            if behind > done.next() {
                break;
            }
            fs::remove_file(path_of(&self.dir, first))?;
            self.older.pop_front();
        }
        Ok(())
    }
}

/// Makes a segment that has room for a record; its name is durable before a record is written to it.
fn create_segment(dir: &Path, first: RecordNumber, record_bytes: usize) -> io::Result<Segment> {
    let header = SegmentHeader { first, salt: rand::random() };
    let size_bytes = SEGMENT_BYTES.max(layout::segment_bytes_for(record_bytes));
    let draft = dir.join("new");
    let segment = Segment::create(&draft, header, size_bytes)?;
    fs::rename(&draft, path_of(dir, first))?;
    sync_dir(dir)?;
    Ok(segment)
}

/// First numbers of all segments in order.
fn segments(dir: &Path) -> io::Result<Vec<RecordNumber>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.parse().ok()).map(RecordNumber));
    }
    found.sort_unstable();
    Ok(found)
}

/// Names are numbers of one length, so that a listing shows them in order.
fn path_of(dir: &Path, first: RecordNumber) -> PathBuf {
    dir.join(format!("{:020}", first.0))
}
