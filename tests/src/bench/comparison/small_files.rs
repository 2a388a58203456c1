//! A set of small files, and what is done with all of them by one thread or several.

use std::fs::{self, File};
use std::io::{self, Write};
use std::marker;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::big_file::{Sync, close};
use super::deadline::Deadline;
use super::pieces::Pieces;
use super::work_error::WorkError;

const SEED: u64 = 13;

/// Files of one length, with a name of their own.
#[derive(Debug)]
pub(super) struct SmallFiles {
    folder: PathBuf,
    name: &'static str,
    length: usize,
    /// How many there are, from number 0.
    count: u32,
}

/// What was read of the files of these numbers, to be compared once the clock stands.
pub(super) type Contents = Vec<(u32, Vec<u8>)>;

impl SmallFiles {
    pub(super) fn new(folder: &Path, name: &'static str, length: usize) -> Self {
        Self { folder: folder.to_path_buf(), name, length, count: 0 }
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{}-{number:06}", self.name))
    }

    pub(super) fn length(&self) -> u64 {
        self.length as u64
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Creates so many, fewer if the deadline passes; returns how many.
    pub(super) fn create(
        &mut self,
        pieces: &Pieces,
        wanted: u32,
        threads: usize,
        sync: Sync,
        deadline: Deadline,
    ) -> Result<u64, WorkError> {
        let create = |number| {
            let path = self.path(number);
            let create = || {
                let mut file = File::create(&path)?;
                file.write_all(pieces.of_file(number, self.length))?;
                close(file, sync)
            };
            create().map_err(WorkError::at(&path))
        };
        // Numbers are taken in order and each one that is taken is done, so those that are there begin at 0.
        let created = on_threads(wanted, threads, deadline, create)?.len();
        self.count = u32::try_from(created).expect("no more than wanted");
        Ok(created as u64)
    }

    pub(super) fn read(&self, threads: usize, deadline: Deadline) -> Result<Contents, WorkError> {
        on_threads(self.count, threads, deadline, |number| {
            let path = self.path(number);
            fs::read(&path).map_err(WorkError::at(&path))
        })
    }

    pub(super) fn check(&self, pieces: &Pieces, contents: &Contents) -> Result<(), WorkError> {
        let wrong = contents.iter().find(|(number, bytes)| bytes != pieces.of_file(*number, self.length));
        wrong.map_or(Ok(()), |(number, _)| Err(WorkError::WrongBytes(self.path(*number))))
    }

    pub(super) fn delete(&mut self, threads: usize, deadline: Deadline) -> Result<u64, WorkError> {
        let deleted = on_threads(self.count, threads, deadline, |number| {
            let path = self.path(number);
            fs::remove_file(&path).map_err(WorkError::at(&path))
        })?;
        Ok(deleted.len() as u64)
    }
}

/// Lists a folder, with the attributes of each entry or without; returns how many there are, which must not be fewer than
/// `expected`.
pub(super) fn list(folder: &Path, with_stat: bool, expected: u32, deadline: Deadline) -> Result<u64, WorkError> {
    let list = || {
        let mut listed = 0;
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if with_stat {
                entry.metadata()?;
            }
            listed += 1;
            if deadline.has_passed() {
                return Ok(listed);
            }
        }
        if listed < u64::from(expected) {
            return Err(io::Error::other(format!("{listed} of {expected} files are listed")));
        }
        Ok(listed)
    };
    list().map_err(WorkError::at(folder))
}

/// Asks for the attributes of random files, so many times; returns how often it did.
pub(super) fn stat_storm(
    sets: &[&SmallFiles],
    stats: u32,
    threads: usize,
    deadline: Deadline,
) -> Result<u64, WorkError> {
    let files: Vec<PathBuf> = sets.iter().flat_map(|set| (0..set.count).map(|number| set.path(number))).collect();
    if files.is_empty() {
        return Ok(0);
    }
    let stat = |number: u32| {
        let path = &files[SmallRng::seed_from_u64(SEED + u64::from(number)).random_range(0..files.len())];
        fs::metadata(path).map(|_| ()).map_err(WorkError::at(path))
    };
    Ok(on_threads(stats, threads, deadline, stat)?.len() as u64)
}

/// Does `one` for each number below `count`, until the deadline passes. Each number that is begun is ended.
pub(super) fn on_threads<T: Send>(
    count: u32,
    threads: usize,
    deadline: Deadline,
    one: impl Fn(u32) -> Result<T, WorkError> + marker::Sync,
) -> Result<Vec<(u32, T)>, WorkError> {
    let next = AtomicU32::new(0);
    let worker = || {
        let mut done = Vec::new();
        while !deadline.has_passed() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            done.push((number, one(number)?));
        }
        Ok(done)
    };
    if threads == 1 {
        return worker();
    }
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().expect("a worker does not panic")?);
        }
        Ok(all)
    })
}

#[cfg(test)]
mod tests {
    use super::{Deadline, SmallFiles, Sync, list, on_threads, stat_storm};
    use crate::bench::comparison::pieces::Pieces;
    use std::time::Duration;

    fn ample() -> Deadline {
        Deadline::after(Duration::from_mins(1))
    }

    #[test]
    fn each_number_is_done_once_by_any_number_of_threads() {
        for threads in [1, 4] {
            let mut done: Vec<u32> =
                on_threads(100, threads, ample(), Ok).unwrap().into_iter().map(|(_, n)| n).collect();
            done.sort_unstable();
            assert_eq!(done, (0..100).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nothing_is_begun_after_the_deadline() {
        let done = on_threads(100, 4, Deadline::after(Duration::ZERO), Ok).unwrap();
        assert!(done.is_empty(), "{done:?}");
    }

    #[test]
    fn files_are_there_until_they_are_deleted() {
        let (folder, pieces) = (tempfile::tempdir().unwrap(), Pieces::new());
        let mut files = SmallFiles::new(folder.path(), "some", 4096);
        assert_eq!(files.create(&pieces, 20, 4, Sync::Before, ample()).unwrap(), 20);
        let contents = files.read(4, ample()).unwrap();
        assert_eq!(contents.len(), 20);
        files.check(&pieces, &contents).unwrap();
        assert_eq!(list(folder.path(), true, 20, ample()).unwrap(), 20);
        assert!(list(folder.path(), false, 21, ample()).is_err());
        assert_eq!(stat_storm(&[&files], 50, 4, ample()).unwrap(), 50);
        assert_eq!(files.delete(1, ample()).unwrap(), 20);
        assert_eq!(list(folder.path(), false, 0, ample()).unwrap(), 0);
    }
}
