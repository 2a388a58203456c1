use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::observer::Observer;
use super::super::row::Row;
use super::super::subject::{Daemon, SubjectError};
use super::recording::Recording;
use super::stacks::Stacks;

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
