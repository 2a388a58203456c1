use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use super::manifest_mark::{ManifestError, ManifestMark, in_folder};

/// How far the mark may lie behind the manifest. `RocksDB`'s bindings tell nobody that it grew; a look costs two reads
/// of names and sizes, and only where something changed a sync.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

/// Keeps the mark beside a database up with its manifest, on a thread of its own: no write waits for it.
///
/// The mark is at any moment a lower bound of what a crash, of the process or of the machine, can leave: what it names is
/// on stable storage before it is.
#[derive(Debug)]
pub struct ManifestWatch {
    /// Taken when the watch is dropped, which ends the thread.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ManifestWatch {
    /// Marks the manifest of the database in `dir`, which is open, and goes on doing so. To be dropped after the
    /// database: then the last mark covers all of it.
    pub fn start(dir: &Path) -> Result<Self, ManifestError> {
        Self::start_with(dir, LOOK_PERIOD)
    }

    fn start_with(dir: &Path, period: Duration) -> Result<Self, ManifestError> {
        let mut marker = Marker { dir: dir.to_owned(), marked: None, failing: false };
        marker.mark().map_err(in_folder(dir))?;
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("manifest-watch".to_owned())
            .spawn(move || marker.run(&stopped, period))
            .map_err(in_folder(dir))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for ManifestWatch {
    /// Returns when the last mark is written: nobody writes in the folder afterwards.
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the watch of a manifest panicked");
        }
    }
}

struct Marker {
    dir: PathBuf,
    /// What the mark says.
    marked: Option<ManifestMark>,
    failing: bool,
}

impl Marker {
    fn run(mut self, stopped: &Receiver<()>, period: Duration) {
        while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(period) {
            self.mark_or_warn();
        }
        self.mark_or_warn();
    }

    /// A mark that is not written leaves the one before, which is still true.
    fn mark_or_warn(&mut self) {
        match self.mark() {
            Ok(()) => self.failing = false,
            Err(_) if self.failing => {}
            Err(error) => {
                self.failing = true;
                let dir = self.dir.display();
                tracing::warn!(%error, %dir, "how long the manifest is cannot be marked; it is tried again");
            }
        }
    }

    /// Marks what is new. The manifest, and the name by which it is found, are synced before the mark is written.
    fn mark(&mut self) -> io::Result<()> {
        if ManifestMark::found(&self.dir)? == self.marked {
            return Ok(());
        }
        let Some(synced) = ManifestMark::synced(&self.dir)? else { return Ok(()) };
        synced.record(&self.dir)?;
        self.marked = Some(synced);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::ManifestWatch;
    use crate::storage::check_manifest;

    /// Short, so that marks and changes meet in every order.
    const PERIOD: Duration = Duration::from_micros(100);
    /// Marks that are seen to change while the manifest does.
    const MARKS: u32 = 50;
    const DEADLINE: Duration = Duration::from_mins(1);
    /// Appends to one manifest before the next one takes over.
    const APPENDS: u64 = 20;

    fn name(number: u64) -> String {
        format!("MANIFEST-{number:06}")
    }

    fn mark(dir: &Path) -> Vec<u8> {
        fs::read(dir.join("manifest.synced")).unwrap()
    }

    fn append(dir: &Path, number: u64, bytes: &[u8]) {
        let file = OpenOptions::new().create(true).append(true).open(dir.join(name(number)));
        file.unwrap().write_all(bytes).unwrap();
    }

    /// As `RocksDB` does it: the new one is whole before it is named, and the old one goes afterwards.
    fn roll_over(dir: &Path, number: u64) {
        append(dir, number, b"all there is");
        fs::write(dir.join("CURRENT.dbtmp"), format!("{}\n", name(number))).unwrap();
        fs::rename(dir.join("CURRENT.dbtmp"), dir.join("CURRENT")).unwrap();
        if let Some(old) = number.checked_sub(1) {
            fs::remove_file(dir.join(name(old))).unwrap();
        }
    }

    #[test]
    fn whenever_a_process_ends_the_mark_is_no_more_than_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        roll_over(dir.path(), 0);
        let watch = ManifestWatch::start_with(dir.path(), PERIOD).unwrap();
        let deadline = Instant::now() + DEADLINE;
        let mut last = mark(dir.path());
        let (mut step, mut marks) = (0, 0);
        while marks < MARKS {
            assert!(Instant::now() < deadline, "{marks} marks after {step} steps");
            step += 1;
            let number = step / APPENDS;
            if step % APPENDS == 0 {
                roll_over(dir.path(), number);
            } else {
                append(dir.path(), number, b"an edit");
            }
            check_manifest(dir.path()).unwrap();
            let now = mark(dir.path());
            marks += u32::from(now != last);
            last = now;
        }
        drop(watch);
        check_manifest(dir.path()).unwrap();
    }

    #[test]
    fn the_last_mark_covers_everything() {
        let dir = tempfile::tempdir().unwrap();
        roll_over(dir.path(), 0);
        let watch = ManifestWatch::start_with(dir.path(), Duration::from_hours(1)).unwrap();
        append(dir.path(), 0, b"later");
        drop(watch);
        let length = fs::metadata(dir.path().join(name(0))).unwrap().len();
        OpenOptions::new().write(true).open(dir.path().join(name(0))).unwrap().set_len(length - 1).unwrap();
        check_manifest(dir.path()).unwrap_err();
    }

    #[test]
    fn the_mark_follows_without_being_asked() {
        let dir = tempfile::tempdir().unwrap();
        roll_over(dir.path(), 0);
        let _watch = ManifestWatch::start_with(dir.path(), PERIOD).unwrap();
        let before = mark(dir.path());
        append(dir.path(), 0, b"later");
        let deadline = Instant::now() + DEADLINE;
        while mark(dir.path()) == before {
            assert!(Instant::now() < deadline, "no new mark");
            std::thread::yield_now();
        }
    }
}
