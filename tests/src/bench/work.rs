//! The work itself: one round of every row on one directory, with all bytes checked.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::cold::{ColdError, DropPageCache, MakeCold};
use super::figures::Figure;
use super::files::{Files, RANDOM_READS_MIB, Sync};

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Size of the big file.
    pub mib: u32,
    /// Number of small files.
    pub files: u32,
}

/// Why a round has no figures.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The directory does not do what is asked.
    #[error("{}: {source}", .path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What was read is not what was written.
    #[error("WRONG BYTES in {}", .0.display())]
    WrongBytes(PathBuf),
    /// The cold rows would not be cold.
    #[error(transparent)]
    Cold(#[from] ColdError),
}

/// Does one round in `folder` and removes what it wrote. `report` sees each figure as it is measured.
pub fn work(
    folder: &Path,
    amount: Amount,
    cold: &mut dyn MakeCold,
    report: &mut dyn FnMut(&Figure),
) -> Result<Vec<Figure>, WorkError> {
    let mut round = Round::new(folder, amount, report);
    round.large_file(cold)?;
    round.small_files(cold)?;
    round.small_synced_files()?;
    Ok(round.figures)
}

struct Round<'report> {
    files: Files,
    amount: Amount,
    figures: Vec<Figure>,
    report: &'report mut dyn FnMut(&Figure),
}

impl<'report> Round<'report> {
    fn new(folder: &Path, amount: Amount, report: &'report mut dyn FnMut(&Figure)) -> Self {
        Self { files: Files::new(folder, amount), amount, figures: Vec::new(), report }
    }

    fn record(&mut self, row: &'static str, amount: f64, unit: &'static str, took: Duration) {
        let figure = Figure::new(row, amount, unit, took);
        (self.report)(&figure);
        self.figures.push(figure);
    }

    fn record_mib(&mut self, row: &'static str, took: Duration) {
        self.record(row, f64::from(self.amount.mib), "MiB/s", took);
    }

    fn record_files(&mut self, row: &'static str, took: Duration) {
        self.record(row, f64::from(self.amount.files), "files/s", took);
    }

    fn large_file(&mut self, cold: &mut dyn MakeCold) -> Result<(), WorkError> {
        let took = timed(|| self.files.write_big(Sync::AtClose))?;
        self.record_mib("write sequential", took);
        self.files.delete_big()?;
        let took = timed(|| self.files.write_big(Sync::Before))?;
        self.record_mib("write sequential, synced", took);

        cold.make_cold()?;
        let took = timed(|| self.files.read_big())?;
        self.record_mib("read cold", took);
        let took = timed(|| self.files.read_big())?;
        self.record_mib("read warm", took);
        cold.make_cold()?;
        self.files.check_big()?;

        cold.make_cold()?;
        let took = timed(|| self.files.read_randomly())?;
        self.record("read random 128 KiB", f64::from(RANDOM_READS_MIB), "MiB/s", took);
        self.files.delete_big()
    }

    fn small_files(&mut self, cold: &mut dyn MakeCold) -> Result<(), WorkError> {
        let took = timed(|| self.files.create_small(Sync::AtClose))?;
        self.record_files("create 4 KiB, 1 thread", took);
        cold.make_cold()?;
        let took = timed(|| self.files.read_small())?;
        self.record_files("read 4 KiB cold, 1 thread", took);
        let took = timed(|| self.files.list_with_stat())?;
        self.record_files("list with stat", took);
        let took = timed(|| self.files.delete_small())?;
        self.record_files("delete, 1 thread", took);
        let took = timed(|| self.files.on_threads(|path| self.files.create_one(path, Sync::AtClose)))?;
        self.record_files("create 4 KiB, 16 threads", took);
        self.files.delete_small()
    }

    fn small_synced_files(&mut self) -> Result<(), WorkError> {
        let took = timed(|| self.files.create_small(Sync::Before))?;
        self.record_files("create 4 KiB, synced, 1 thread", took);
        DropPageCache.make_cold()?;
        let took = timed(|| self.files.delete_small())?;
        self.record_files("delete, 1 thread (2)", took);
        let took = timed(|| self.files.on_threads(|path| self.files.create_one(path, Sync::Before)))?;
        self.record_files("create 4 KiB, synced, 16 threads", took);
        self.files.read_small()?;
        let took = timed(|| self.files.on_threads(Files::delete_one))?;
        self.record_files("delete, 16 threads", took);
        Ok(())
    }
}

fn timed(work: impl FnOnce() -> Result<(), WorkError>) -> Result<Duration, WorkError> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::{Amount, WorkError, work};
    use crate::bench::cold::{ColdError, MakeCold};
    use crate::bench::figures::ROWS;
    use std::fs;
    use std::path::PathBuf;

    /// Damages a file once instead of cooling anything.
    struct Damage {
        victim: PathBuf,
        done: bool,
    }

    impl MakeCold for Damage {
        fn make_cold(&mut self) -> Result<(), ColdError> {
            if !self.done && self.victim.exists() {
                self.done = true;
                let mut bytes = fs::read(&self.victim).unwrap();
                bytes[4000] ^= 1;
                fs::write(&self.victim, bytes).unwrap();
            }
            Ok(())
        }
    }

    const LITTLE: Amount = Amount { mib: 3, files: 20 };

    #[test]
    fn every_row_is_measured_in_order_and_nothing_is_left_behind() {
        if !nix::unistd::geteuid().is_root() {
            crate::fuse::notice("skipped: dropping the page cache needs root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        let mut cold = Damage { victim: folder.path().join("nothing"), done: false };
        let figures = work(folder.path(), LITTLE, &mut cold, &mut |figure| seen.push(figure.row)).unwrap();
        assert_eq!(seen, ROWS);
        assert!(figures.iter().all(|figure| figure.value > 0.0 && figure.value.is_finite()), "{figures:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn one_flipped_bit_fails_the_round() {
        for victim in ["work-big", "work-000007"] {
            let folder = tempfile::tempdir().unwrap();
            let mut cold = Damage { victim: folder.path().join(victim), done: false };
            let result = work(folder.path(), LITTLE, &mut cold, &mut |_| {});
            let named = matches!(&result, Err(WorkError::WrongBytes(path)) if path.ends_with(victim));
            assert!(named, "{victim}: {result:?}");
        }
    }
}
