use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::super::observer::Observer;
use super::super::row::Row;
use super::super::subject::{Daemon, SubjectError};
use super::recording::Recording;
use super::stacks::Stacks;

/// Bytes that are copied to see how long a copy takes: more than any cache has.
const COPIED_BYTES: usize = 256 << 20;
/// How often: the first copy also gets the pages.
const COPIES: usize = 4;
/// What threads of this program are called.
const PROGRAM: &str = "program";

/// Samples every row of a round.
pub(super) struct Profiler {
    folder: PathBuf,
    running: Option<(Row, BTreeMap<u32, String>, Recording)>,
    profiles: BTreeMap<Row, Stacks>,
}

impl Profiler {
    /// Keeps what `perf` writes in a folder.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), running: None, profiles: BTreeMap::new() }
    }

    /// The samples of a row, once.
    pub(super) fn take(&mut self, row: Row) -> Option<Stacks> {
        self.profiles.remove(&row)
    }

    /// How long one thread takes to copy a GiB from memory to memory: the quickest of several times.
    pub(super) fn copy_s_a_gib() -> f64 {
        let (from, mut to) = (vec![1_u8; COPIED_BYTES], vec![0_u8; COPIED_BYTES]);
        let once = |_| {
            let begun = Instant::now();
            to.copy_from_slice(black_box(&from));
            black_box(&mut to);
            begun.elapsed().as_secs_f64()
        };
        let quickest = (0..COPIES).map(once).fold(f64::INFINITY, f64::min);
        #[expect(clippy::cast_precision_loss, reason = "a small power of two")]
        let copies_a_gib = (1_usize << 30) as f64 / COPIED_BYTES as f64;
        quickest * copies_a_gib
    }
}

impl Observer for Profiler {
    fn begin(&mut self, row: Row, daemons: &[Daemon]) -> Result<(), SubjectError> {
        let of = |daemon: &Daemon| Some((u32::try_from(daemon.process.id()).ok()?, daemon.name.clone()));
        let own = (std::process::id(), PROGRAM.to_owned());
        let names = daemons.iter().filter_map(of).chain([own]).collect();
        self.running = Some((row, names, Recording::start(&self.folder)?));
        Ok(())
    }

    fn end(&mut self) -> Result<(), SubjectError> {
        if let Some((row, names, recording)) = self.running.take() {
            let folded = recording.finish()?;
            self.profiles.insert(row, Stacks::parse(&folded, &names));
        }
        Ok(())
    }
}
