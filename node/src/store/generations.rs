use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rocksdb::Options;

use super::database::Rocks;
use super::error::StoreError;

/// Name of the first generation; later ones have their number behind it.
const FIRST: &str = "cells";
const PREFIX: &str = "cells-";
/// Beside the tables: a table of logged cells could not be compacted, so the next start leaves its generation.
const MARKER: &str = "cells.damaged";

/// The generations of the family of logged cells. The newest is written to. The others hold a damaged table, which no
/// compaction may touch: their cells move to the newest, and then they go as a whole, unread.
#[derive(Debug)]
pub(crate) struct Generations {
    numbers: Mutex<BTreeSet<u32>>,
}

impl Generations {
    /// Those among the families of a database; the first where there is none yet.
    pub(crate) fn among(families: &[String]) -> Self {
        let mut numbers: BTreeSet<u32> = families.iter().filter_map(|name| number(name)).collect();
        if numbers.is_empty() {
            numbers.insert(0);
        }
        Self { numbers: Mutex::new(numbers) }
    }

    /// Their numbers, the newest last.
    pub(crate) fn all(&self) -> Vec<u32> {
        self.numbers.lock().iter().copied().collect()
    }

    pub(crate) fn newest(&self) -> u32 {
        *self.numbers.lock().last().expect("there is always one")
    }

    /// Makes a newer one than `left`, which is not compacted any more. A success if there is one already.
    pub(crate) fn leave(&self, left: u32, rocks: &Rocks, options: &Options) -> Result<(), StoreError> {
        let failed = |error: rocksdb::Error| StoreError::WriteFailed { why: error.to_string() };
        let mut numbers = self.numbers.lock();
        if numbers.last().is_some_and(|newest| *newest > left) {
            return Ok(());
        }
        if let Some(family) = rocks.cf_handle(&name(left)) {
            rocks.set_options_cf(&family, &[("disable_auto_compactions", "true")]).map_err(failed)?;
        }
        rocks.create_cf(name(left + 1), options).map_err(failed)?;
        numbers.insert(left + 1);
        Ok(())
    }

    /// Drops one that nothing names any more. Its tables are not read for that.
    pub(crate) fn drop_left(&self, left: u32, rocks: &Rocks) -> Result<(), StoreError> {
        let mut numbers = self.numbers.lock();
        if numbers.last().is_none_or(|newest| *newest <= left) || !numbers.contains(&left) {
            return Ok(());
        }
        rocks.drop_cf(&name(left)).map_err(|error| StoreError::WriteFailed { why: error.to_string() })?;
        numbers.remove(&left);
        Ok(())
    }
}

/// Name of the family of a generation.
pub(crate) fn name(generation: u32) -> String {
    if generation == 0 { FIRST.to_owned() } else { format!("{PREFIX}{generation}") }
}

/// The generation that a family is, if it is one.
pub(crate) fn number(family: &str) -> Option<u32> {
    if family == FIRST { Some(0) } else { family.strip_prefix(PREFIX)?.parse().ok() }
}

fn marker(dir: &Path) -> PathBuf {
    dir.join(MARKER)
}

/// Has the next start leave the newest generation.
pub(crate) fn mark_damaged(dir: &Path) -> std::io::Result<()> {
    fs::File::create(marker(dir))?.sync_all()
}

pub(crate) fn is_marked_damaged(dir: &Path) -> bool {
    marker(dir).exists()
}

/// The generation is left, durably.
pub(crate) fn forget_mark(dir: &Path) -> std::io::Result<()> {
    fs::remove_file(marker(dir))
}

#[cfg(test)]
mod tests {
    use super::{Generations, name, number};

    #[test]
    fn families_tell_their_generations() {
        for generation in [0, 1, 17] {
            assert_eq!(number(&name(generation)), Some(generation));
        }
        assert_eq!((number("chunks"), number("cells-x"), number("files-1")), (None, None, None));
        let families = ["default", "cells-2", "chunks", "cells-1", "files-0"].map(str::to_owned);
        let generations = Generations::among(&families);
        assert_eq!((generations.all(), generations.newest()), (vec![1, 2], 2));
        assert_eq!(Generations::among(&[]).all(), [0]);
    }
}
