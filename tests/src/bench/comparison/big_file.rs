//! One big file: written in pieces, read whole or at random.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::deadline::Deadline;
use super::pieces::{PIECE_BYTES, Pieces};
use super::work_error::WorkError;

/// Random reads start at multiples of a page.
const PAGE_BYTES: u64 = 4096;
const SEED: u64 = 11;

/// When files are on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// When the directory thinks fit after `close`.
    AtClose,
    /// Before `close`, by `fsync`.
    Before,
}

#[derive(Debug)]
pub(super) struct BigFile(pub(super) PathBuf);

/// What random reads gave, to be compared once the clock stands.
#[derive(Debug)]
pub(super) struct RandomReads {
    length: usize,
    offsets: Vec<u64>,
    bytes: Vec<u8>,
}

impl BigFile {
    /// Writes so many MiB, less if the deadline passes; returns the bytes.
    pub(super) fn write(&self, pieces: &Pieces, mib: u32, sync: Sync, deadline: Deadline) -> Result<u64, WorkError> {
        let write = || {
            let mut file = File::create(&self.0)?;
            let mut written = 0;
            for piece in pieces.in_order().take(mib as usize) {
                if deadline.has_passed() {
                    break;
                }
                file.write_all(piece)?;
                written += piece.len() as u64;
            }
            close(file, sync)?;
            Ok(written)
        };
        write().map_err(WorkError::at(&self.0))
    }

    /// Reads from the start, at most `limit_bytes`, less if the deadline passes; returns the bytes.
    pub(super) fn read(&self, limit_bytes: u64, deadline: Deadline) -> Result<u64, WorkError> {
        let read = || {
            let mut file = File::open(&self.0)?;
            let mut buffer = vec![0; PIECE_BYTES];
            let mut done = 0;
            while done < limit_bytes && !deadline.has_passed() {
                match file.read(&mut buffer)? {
                    0 => break,
                    length => done += length as u64,
                }
            }
            Ok(done)
        };
        read().map_err(WorkError::at(&self.0))
    }

    /// Reads so many bytes once more and compares them.
    pub(super) fn check(&self, pieces: &Pieces, bytes: u64) -> Result<(), WorkError> {
        let mut file = File::open(&self.0).map_err(WorkError::at(&self.0))?;
        let (mut buffer, mut done) = (vec![0; PIECE_BYTES], 0);
        while done < bytes {
            let length = file.read(&mut buffer).map_err(WorkError::at(&self.0))?;
            if length == 0 || !pieces.has(done, &buffer[..length]) {
                return Err(WorkError::WrongBytes(self.0.clone()));
            }
            done += length as u64;
        }
        Ok(())
    }

    /// One half of what is in it, so that two kinds of random reads do not meet.
    pub(super) fn half(&self, second: bool) -> Result<Range<u64>, WorkError> {
        let length = std::fs::metadata(&self.0).map_err(WorkError::at(&self.0))?.len();
        let middle = length / 2 / PAGE_BYTES * PAGE_BYTES;
        Ok(if second { middle..length } else { 0..middle })
    }

    /// Reads `length` bytes at so many random pages of a range, fewer if the deadline passes.
    pub(super) fn read_randomly(
        &self,
        range: Range<u64>,
        length: usize,
        count: u32,
        deadline: Deadline,
    ) -> Result<RandomReads, WorkError> {
        let mut generator = SmallRng::seed_from_u64(SEED);
        let last = range.end.saturating_sub(length as u64).max(range.start);
        let mut read = || {
            let file = File::open(&self.0)?;
            let mut reads = RandomReads { length, offsets: Vec::new(), bytes: vec![0; length * count as usize] };
            for place in reads.bytes.chunks_exact_mut(length) {
                if deadline.has_passed() {
                    break;
                }
                let offset = generator.random_range(range.start..=last) / PAGE_BYTES * PAGE_BYTES;
                file.read_exact_at(place, offset)?;
                reads.offsets.push(offset);
            }
            Ok(reads)
        };
        read().map_err(WorkError::at(&self.0))
    }

    pub(super) fn check_reads(&self, pieces: &Pieces, reads: &RandomReads) -> Result<(), WorkError> {
        let mut found = reads.offsets.iter().zip(reads.bytes.chunks_exact(reads.length));
        let right = found.all(|(offset, bytes)| pieces.has(*offset, bytes));
        if right { Ok(()) } else { Err(WorkError::WrongBytes(self.0.clone())) }
    }
}

impl RandomReads {
    pub(super) fn bytes(&self) -> u64 {
        (self.offsets.len() * self.length) as u64
    }
}

/// Dropping a file hides what `close` says, and a distributed file system says it there.
pub(super) fn close(file: File, sync: Sync) -> io::Result<()> {
    if sync == Sync::Before {
        file.sync_all()?;
    }
    Ok(nix::unistd::close(file)?)
}
