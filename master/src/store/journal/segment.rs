use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::layout::{RecordNumber, SEGMENT_HEADER_BYTES, SegmentHeader, seal_record};

/// Zeros that are written at a time ahead of the records.
const ZEROS_BYTES: usize = 256 << 10;
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// A file that records are written to.
#[derive(Debug)]
pub(super) struct Segment {
    file: File,
    header: SegmentHeader,
    size_bytes: u64,
    /// Where the next record begins.
    end: u64,
    /// Up to here the file's blocks are written.
    written: u64,
    /// And up to here they are durable: zeros from `end` on.
    durable: u64,
}

impl Segment {
    /// Makes the file, or empties it, with its final size. Header and zeros are durable when it returns, the name is not.
    pub(super) fn create(path: &Path, header: SegmentHeader, size_bytes: u64) -> io::Result<Self> {
        let file = File::create(path)?;
        file.set_len(size_bytes)?;
        file.write_all_at(&header.encode(), 0)?;
        let end = SEGMENT_HEADER_BYTES as u64;
        let mut segment = Self { file, header, size_bytes, end, written: end, durable: end };
        segment.write_zeros_ahead()?;
        segment.file.sync_all()?;
        segment.durable = segment.written;
        Ok(segment)
    }

    pub(super) fn first(&self) -> RecordNumber {
        self.header.first
    }

    pub(super) fn has_room(&self, record_bytes: usize) -> bool {
        self.end + record_bytes as u64 <= self.size_bytes
    }

    /// Adds an encoded record that there is room for.
    pub(super) fn append(&mut self, record: &mut [u8]) -> io::Result<()> {
        let end = self.end + record.len() as u64;
        seal_record(record, self.header.salt, end <= self.durable);
        self.file.write_all_at(record, self.end)?;
        self.end = end;
        self.written = self.written.max(self.end);
        if self.written < self.end + ZEROS_BYTES as u64 / 2 { self.write_zeros_ahead() } else { Ok(()) }
    }

    /// The next sync makes them durable together with a record, so that those after it find written blocks.
    fn write_zeros_ahead(&mut self) -> io::Result<()> {
        let room = usize::try_from(self.size_bytes - self.written).unwrap_or(usize::MAX);
        let zeros = &ZEROS[..room.min(ZEROS_BYTES)];
        self.file.write_all_at(zeros, self.written)?;
        self.written += zeros.len() as u64;
        Ok(())
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.durable = self.written;
        Ok(())
    }
}
