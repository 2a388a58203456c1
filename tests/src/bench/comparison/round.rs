//! The work itself: one round of some rows on one system, with all bytes checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::amount::Amount;
use super::big_file::{BigFile, RandomReads, Sync};
use super::costs::Meter;
use super::deadline::Deadline;
use super::figures::{Figure, count};
use super::observer::Observer;
use super::pieces::Pieces;
use super::row::{Phase, Row, Unit};
use super::small_files::{Contents, SmallFiles, list, on_threads, stat_storm};
use super::subject::Subject;
use super::work_error::WorkError;

/// Threads of the rows that have several for small files.
const THREADS: usize = 16;
/// Files that are written and read at the same time.
const STREAMS: u32 = 4;
const SMALL_FILE_BYTES: usize = 4096;
const MEDIUM_FILE_BYTES: usize = 300 << 10;
const RANDOM_READ_BYTES: usize = 128 << 10;
const RANDOM_SMALL_READ_BYTES: usize = 4 << 10;

/// What a row did, and what of it is still to be compared.
struct Done {
    /// Bytes or files, as the row counts.
    amount: u64,
    evidence: Evidence,
}

enum Evidence {
    None,
    /// So many bytes of some files were read from their start.
    Read(Vec<(PathBuf, u64)>),
    Random(RandomReads),
    Small(Contents),
}

impl Done {
    fn plain(amount: u64) -> Self {
        Self { amount, evidence: Evidence::None }
    }
}

/// A round in a system that was just started. What it writes stays there.
pub(super) struct Round<'subject> {
    subject: &'subject mut dyn Subject,
    number: usize,
    amount: Amount,
    folder: PathBuf,
    pieces: &'subject Pieces,
    sets: Sets,
    /// How much of the big file was read cold, and can be warm.
    read_cold: u64,
    observer: Option<&'subject mut dyn Observer>,
}

/// The sets of files of 4 KiB, by the row that creates each, and the larger ones.
struct Sets {
    medium: SmallFiles,
    plain: SmallFiles,
    threads: SmallFiles,
    synced: SmallFiles,
    synced_threads: SmallFiles,
}

impl<'subject> Round<'subject> {
    pub(super) fn new(
        subject: &'subject mut dyn Subject,
        number: usize,
        amount: Amount,
        pieces: &'subject Pieces,
    ) -> Self {
        let folder = subject.folder();
        let set = |name| SmallFiles::new(&folder, name, SMALL_FILE_BYTES);
        let sets = Sets {
            medium: SmallFiles::new(&folder, "medium", MEDIUM_FILE_BYTES),
            plain: set("plain"),
            threads: set("threads"),
            synced: set("synced"),
            synced_threads: set("synced-threads"),
        };
        Self { subject, number, amount, folder, pieces, sets, read_cold: 0, observer: None }
    }

    /// With somebody who looks on.
    pub(super) fn observed_by(self, observer: &'subject mut dyn Observer) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Measures the rows in order. `tell` gets each figure at once.
    pub(super) fn run(&mut self, steps: &[Row], tell: &mut dyn FnMut(Figure)) -> Result<(), WorkError> {
        let (mut phase, system) = (Phase::Started, self.subject.system());
        for row in steps.iter().filter(|row| system.has(**row)) {
            if row.phase() > phase {
                phase = row.phase();
                self.subject.make_cold()?;
                if phase == Phase::TwoLost && !self.subject.lose_two_nodes()? {
                    return Ok(());
                }
            }
            tell(self.measure(*row)?);
        }
        Ok(())
    }

    /// Nothing of the rows before is still on its way to the disk when a row begins, and nothing is compared before it ends.
    fn measure(&mut self, row: Row) -> Result<Figure, WorkError> {
        nix::unistd::sync();
        let stored_before = if row.unit() == Unit::Stored { self.subject.stored_bytes() } else { 0 };
        let daemons = self.subject.daemons()?;
        if let Some(observer) = &mut self.observer {
            observer.begin(row, &daemons)?;
        }
        let meter = Meter::start(&daemons);
        let start = Instant::now();
        let done = self.work(row)?;
        let took = start.elapsed();
        let costs = meter.stop(row.writes().then(|| self.user_bytes(row, done.amount)));
        if let Some(observer) = &mut self.observer {
            observer.end()?;
        }
        self.check(row, &done.evidence)?;
        let mut figure = Figure::new(row, self.subject.system(), self.number, done.amount, took, costs);
        if row.unit() == Unit::Stored {
            // A log of bounded size, in which the last bytes are a second time, weighs on so few files, and on no more than them.
            self.subject.make_cold()?;
            let stored = self.subject.stored_bytes().saturating_sub(stored_before);
            figure.value = count(stored) / count(self.user_bytes(row, done.amount).max(1));
        }
        Ok(figure)
    }

    /// Bytes of the user in what a row did.
    fn user_bytes(&self, row: Row, amount: u64) -> u64 {
        match row.unit() {
            Unit::Mib => amount,
            Unit::Files => amount * SMALL_FILE_BYTES as u64,
            Unit::Stored => amount * self.sets.medium.length(),
        }
    }

    fn work(&mut self, row: Row) -> Result<Done, WorkError> {
        match row.unit() {
            Unit::Mib => self.bytes(row, Deadline::after(self.limit(row))),
            Unit::Files | Unit::Stored => self.files(row, Deadline::after(self.limit(row))),
        }
    }

    fn limit(&self, row: Row) -> Duration {
        if row == Row::WriteHuge { self.amount.huge_limit } else { self.amount.row_limit }
    }

    fn bytes(&mut self, row: Row, deadline: Deadline) -> Result<Done, WorkError> {
        let (amount, big) = (self.amount, |row| big_file(&self.folder, row, 0));
        let write = |mib, sync| big(row).write(self.pieces, mib, sync, deadline).map(Done::plain);
        match row {
            Row::Write => write(amount.big_mib, Sync::AtClose),
            Row::WriteSynced => write(amount.big_mib, Sync::Before),
            Row::WriteHuge => write(amount.huge_mib, Sync::Before),
            Row::WriteStreams => self.write_streams(deadline),
            Row::ReadStreams => self.read_streams(deadline),
            Row::ReadRandom => self.read_randomly(false, RANDOM_READ_BYTES, amount.random_reads, deadline),
            Row::ReadRandomSmall => {
                self.read_randomly(true, RANDOM_SMALL_READ_BYTES, amount.random_small_reads, deadline)
            }
            _ => self.read_big(row, deadline),
        }
    }

    /// Warm, or with nodes dead, no more is read than was read before.
    fn read_big(&mut self, row: Row, deadline: Deadline) -> Result<Done, WorkError> {
        let file = big_file(&self.folder, Row::WriteSynced, 0);
        let limit_bytes = if row == Row::ReadCold { u64::MAX } else { self.read_cold };
        let bytes = file.read(limit_bytes, deadline)?;
        if row == Row::ReadCold {
            self.read_cold = bytes;
        }
        Ok(Done { amount: bytes, evidence: Evidence::Read(vec![(file.0, bytes)]) })
    }

    fn write_streams(&self, deadline: Deadline) -> Result<Done, WorkError> {
        let (folder, pieces, mib) = (&self.folder, self.pieces, self.amount.stream_mib);
        let write = |number| big_file(folder, Row::WriteStreams, number).write(pieces, mib, Sync::Before, deadline);
        let written = on_threads(STREAMS, STREAMS as usize, deadline, write)?;
        Ok(Done::plain(written.iter().map(|(_, bytes)| bytes).sum()))
    }

    fn read_streams(&self, deadline: Deadline) -> Result<Done, WorkError> {
        let folder = &self.folder;
        let read = |number| {
            let file = big_file(folder, Row::WriteStreams, number);
            file.read(u64::MAX, deadline).map(|bytes| (file.0, bytes))
        };
        let read: Vec<_> =
            on_threads(STREAMS, STREAMS as usize, deadline, read)?.into_iter().map(|(_, one)| one).collect();
        Ok(Done { amount: read.iter().map(|(_, bytes)| bytes).sum(), evidence: Evidence::Read(read) })
    }

    fn read_randomly(&self, second: bool, length: usize, reads: u32, deadline: Deadline) -> Result<Done, WorkError> {
        let file = big_file(&self.folder, Row::Write, 0);
        let reads = file.read_randomly(file.half(second)?, length, reads, deadline)?;
        Ok(Done { amount: reads.bytes(), evidence: Evidence::Random(reads) })
    }

    fn files(&mut self, row: Row, deadline: Deadline) -> Result<Done, WorkError> {
        let (wanted, pieces, sets) = (self.amount.small_files, self.pieces, &mut self.sets);
        let known = || sets.synced.count() + sets.synced_threads.count();
        match row {
            Row::MediumStored => sets.medium.create(pieces, self.amount.medium_files, 1, Sync::Before, deadline),
            Row::Create => sets.plain.create(pieces, wanted, 1, Sync::AtClose, deadline),
            Row::CreateThreads => sets.threads.create(pieces, wanted, THREADS, Sync::AtClose, deadline),
            Row::CreateSynced => sets.synced.create(pieces, wanted, 1, Sync::Before, deadline),
            Row::CreateSyncedThreads => sets.synced_threads.create(pieces, wanted, THREADS, Sync::Before, deadline),
            Row::Delete => sets.plain.delete(1, deadline),
            Row::DeleteThreads => sets.threads.delete(THREADS, deadline),
            Row::ListNames => list(&self.folder, false, known(), deadline),
            Row::ListStat => list(&self.folder, true, known(), deadline),
            Row::StatStorm => stat_storm(&[&sets.synced, &sets.synced_threads], self.amount.stats, THREADS, deadline),
            _ => return self.read_small(row, deadline),
        }
        .map(Done::plain)
    }

    fn read_small(&self, row: Row, deadline: Deadline) -> Result<Done, WorkError> {
        let (set, threads) = self.read_set(row);
        let contents = set.read(threads, deadline)?;
        Ok(Done { amount: contents.len() as u64, evidence: Evidence::Small(contents) })
    }

    fn read_set(&self, row: Row) -> (&SmallFiles, usize) {
        if row == Row::ReadSmall { (&self.sets.synced, 1) } else { (&self.sets.synced_threads, THREADS) }
    }

    fn check(&self, row: Row, evidence: &Evidence) -> Result<(), WorkError> {
        match evidence {
            Evidence::None => Ok(()),
            Evidence::Read(files) => {
                files.iter().try_for_each(|(path, bytes)| BigFile(path.clone()).check(self.pieces, *bytes))
            }
            Evidence::Random(reads) => big_file(&self.folder, Row::Write, 0).check_reads(self.pieces, reads),
            Evidence::Small(contents) => self.read_set(row).0.check(self.pieces, contents),
        }
    }

    /// Removes all that it wrote, from a folder that is to stay.
    pub(super) fn clear(&self) -> Result<(), WorkError> {
        let Sets { medium, plain, threads, synced, synced_threads } = &self.sets;
        let big = [Row::Write, Row::WriteSynced, Row::WriteHuge].map(|row| big_file(&self.folder, row, 0).0);
        let streams = (0..STREAMS).map(|number| big_file(&self.folder, Row::WriteStreams, number).0);
        let sets = [medium, plain, threads, synced, synced_threads];
        let small = sets.into_iter().flat_map(|set| (0..set.count()).map(|number| set.path(number)));
        for path in big.into_iter().chain(streams).chain(small).filter(|path| path.exists()) {
            fs::remove_file(&path).map_err(WorkError::at(&path))?;
        }
        Ok(())
    }
}

fn big_file(folder: &Path, row: Row, number: u32) -> BigFile {
    let name = match row {
        Row::Write => "written".to_owned(),
        Row::WriteSynced => "written-synced".to_owned(),
        Row::WriteHuge => "huge".to_owned(),
        _ => format!("stream-{number}"),
    };
    BigFile(folder.join(name))
}

#[cfg(test)]
mod tests;
