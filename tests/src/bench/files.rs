//! The files of the work: what is in them, and what is done with them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::marker;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use super::work::{Amount, WorkError};
use crate::workload::{self, Sum};

const MIB: usize = 1 << 20;
/// Different pieces of the big file, repeated.
const PIECES: u64 = 64;
const RANDOM_READS: u32 = 1000;
const RANDOM_READ_BYTES: u32 = 128 << 10;
/// What all random reads of a round read.
pub(super) const RANDOM_READS_MIB: u32 = RANDOM_READS / ((1 << 20) / RANDOM_READ_BYTES);
/// Random reads start at multiples of a page.
const PAGE_BYTES: u64 = 4096;
const SMALL_FILE_BYTES: usize = 4096;
const THREADS: usize = 16;
const SEED: u64 = 7;

/// When files are on stable storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// When the directory thinks fit after `close`.
    AtClose,
    /// Before `close`, by `fsync`.
    Before,
}

/// One big file and many small ones in a directory.
pub(super) struct Files {
    folder: PathBuf,
    big: PathBuf,
    big_mib: u32,
    small: Vec<PathBuf>,
    pieces: Vec<Vec<u8>>,
}

impl Files {
    pub(super) fn new(folder: &Path, amount: Amount) -> Self {
        Self {
            folder: folder.to_path_buf(),
            big: folder.join("work-big"),
            big_mib: amount.mib,
            small: (0..amount.files).map(|number| folder.join(format!("work-{number:06}"))).collect(),
            pieces: (0..PIECES).map(|piece| workload::random_bytes(SEED + piece, MIB)).collect(),
        }
    }

    fn big_pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().cycle().take(self.big_mib as usize).map(Vec::as_slice)
    }

    pub(super) fn write_big(&self, sync: Sync) -> Result<(), WorkError> {
        write_file(&self.big, self.big_pieces(), sync)
    }

    pub(super) fn read_big(&self) -> Result<(), WorkError> {
        let mut file = named(&self.big, File::open(&self.big))?;
        let mut buffer = vec![0; MIB];
        while named(&self.big, file.read(&mut buffer))? > 0 {}
        Ok(())
    }

    pub(super) fn delete_big(&self) -> Result<(), WorkError> {
        Self::delete_one(&self.big)
    }

    /// Reads all of it and compares.
    pub(super) fn check_big(&self) -> Result<(), WorkError> {
        let read = named(&self.big, workload::sum_of_file(&self.big))?;
        if read == self.big_sum() { Ok(()) } else { Err(WorkError::WrongBytes(self.big.clone())) }
    }

    fn big_sum(&self) -> Sum {
        let mut hash = Sha256::new();
        self.big_pieces().for_each(|piece| hash.update(piece));
        hash.finalize().into()
    }

    pub(super) fn read_randomly(&self) -> Result<(), WorkError> {
        let mut generator = SmallRng::seed_from_u64(SEED);
        let file = named(&self.big, File::open(&self.big))?;
        let last = (u64::from(self.big_mib) * MIB as u64).saturating_sub(RANDOM_READ_BYTES.into());
        let mut buffer = vec![0; RANDOM_READ_BYTES as usize];
        for _ in 0..RANDOM_READS {
            let offset = generator.random_range(0..=last) / PAGE_BYTES * PAGE_BYTES;
            named(&self.big, file.read_exact_at(&mut buffer, offset))?;
        }
        Ok(())
    }

    fn small_bytes(&self) -> &[u8] {
        &self.pieces[0][..SMALL_FILE_BYTES]
    }

    pub(super) fn create_one(&self, path: &Path, sync: Sync) -> Result<(), WorkError> {
        write_file(path, std::iter::once(self.small_bytes()), sync)
    }

    pub(super) fn create_small(&self, sync: Sync) -> Result<(), WorkError> {
        self.small.iter().try_for_each(|path| self.create_one(path, sync))
    }

    pub(super) fn delete_small(&self) -> Result<(), WorkError> {
        self.small.iter().try_for_each(|path| Self::delete_one(path))
    }

    pub(super) fn delete_one(path: &Path) -> Result<(), WorkError> {
        named(path, fs::remove_file(path))
    }

    pub(super) fn read_small(&self) -> Result<(), WorkError> {
        self.small.iter().try_for_each(|path| {
            let bytes = named(path, fs::read(path))?;
            if bytes == self.small_bytes() { Ok(()) } else { Err(WorkError::WrongBytes(path.clone())) }
        })
    }

    pub(super) fn list_with_stat(&self) -> Result<(), WorkError> {
        let mut listed = 0;
        for entry in named(&self.folder, fs::read_dir(&self.folder))? {
            let entry = named(&self.folder, entry)?;
            named(&entry.path(), entry.metadata())?;
            listed += 1;
        }
        if listed < self.small.len() {
            let missing = io::Error::other(format!("{listed} of {} files are listed", self.small.len()));
            return named(&self.folder, Err(missing));
        }
        Ok(())
    }

    /// Does `one` for each small file, on 16 threads.
    pub(super) fn on_threads(
        &self,
        one: impl Fn(&Path) -> Result<(), WorkError> + marker::Sync,
    ) -> Result<(), WorkError> {
        let next = AtomicUsize::new(0);
        let worker = || {
            while let Some(path) = self.small.get(next.fetch_add(1, Ordering::Relaxed)) {
                one(path)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(worker)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
        })
    }
}

fn named<T>(path: &Path, result: io::Result<T>) -> Result<T, WorkError> {
    result.map_err(|source| WorkError::File { path: path.to_path_buf(), source })
}

fn write_file<'bytes>(path: &Path, pieces: impl Iterator<Item = &'bytes [u8]>, sync: Sync) -> Result<(), WorkError> {
    let mut file = named(path, File::create(path))?;
    for piece in pieces {
        named(path, file.write_all(piece))?;
    }
    if sync == Sync::Before {
        named(path, file.sync_all())?;
    }
    named(path, close(file))
}

/// Dropping a file hides what `close` says, and a distributed file system says it there.
fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
}
