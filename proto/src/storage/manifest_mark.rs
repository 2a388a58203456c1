use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::{replace_file, sync_dir};

/// The file by which `RocksDB` names its manifest.
const CURRENT_FILE: &str = "CURRENT";
const MANIFEST_PREFIX: &str = "MANIFEST-";
/// Beside them, under a name that `RocksDB` leaves alone: the mark.
const MARK_FILE: &str = "manifest.synced";

/// A manifest of a `RocksDB` database, and how long it is.
///
/// `RocksDB` only ever appends to a manifest, and names a new one only when that is whole and synced, by a higher number.
/// So of two marks of one database the later one has a higher number, or the same and at least the size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ManifestMark {
    number: u64,
    size_bytes: u64,
}

/// Why a database is not to be opened. Nothing of it was changed.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// `RocksDB` would open what is left, and remove the files that only the lost part names.
    #[error(
        "{} was cut: it has {found_bytes} bytes, and {synced_bytes} were on stable storage; \
         nothing was changed or removed",
        path.display()
    )]
    Cut {
        /// The manifest.
        path: PathBuf,
        /// Its size.
        found_bytes: u64,
        /// What it had at least when it was last looked at.
        synced_bytes: u64,
    },
    /// The database names a manifest that it had replaced before.
    #[error(
        "{} was exchanged: the database uses it now, and used {synced} ({synced_bytes} bytes) later than this one \
         ({found_bytes} bytes); nothing was changed or removed",
        path.display()
    )]
    Older {
        /// The manifest in use.
        path: PathBuf,
        /// Its size.
        found_bytes: u64,
        /// Name of the later one.
        synced: String,
        /// What that had at least.
        synced_bytes: u64,
    },
    /// The mark is not what any daemon writes.
    #[error("{} is damaged, so whether the manifest is whole cannot be told; nothing was changed", path.display())]
    Damaged {
        /// The file with the mark.
        path: PathBuf,
    },
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// The file, or the database's folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Compares the manifest of the database in `dir` with what is known to have been on stable storage. To be called before
/// `RocksDB` opens it, since that removes what a cut manifest does not name. A database without a mark passes.
pub fn check_manifest(dir: &Path) -> Result<(), ManifestError> {
    // The mark first: a database in use only grows away from it.
    let Some(synced) = ManifestMark::recorded(dir)? else { return Ok(()) };
    match ManifestMark::found(dir).map_err(in_folder(dir))? {
        Some(found) => synced.require_reached(found, dir),
        // RocksDB refuses by itself where there is no manifest.
        None => Ok(()),
    }
}

/// Removes the mark of a database that is gone, before another is made in `dir`; durable on return.
pub fn forget_manifest(dir: &Path) -> Result<(), ManifestError> {
    match fs::remove_file(dir.join(MARK_FILE)) {
        Ok(()) => sync_dir(dir),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(in_folder(dir))
}

impl ManifestMark {
    /// The manifest in use; none where `RocksDB` would not find one.
    pub(super) fn found(dir: &Path) -> io::Result<Option<Self>> {
        let Some(number) = current_number(dir)? else { return Ok(None) };
        let metadata = present(fs::metadata(dir.join(manifest_name(number))))?;
        Ok(metadata.map(|metadata| Self { number, size_bytes: metadata.len() }))
    }

    /// The manifest in use, as a power cut would leave it or later. None where there is no manifest, or where another one
    /// takes its place just now.
    pub(super) fn synced(dir: &Path) -> io::Result<Option<Self>> {
        let Some(number) = current_number(dir)? else { return Ok(None) };
        let Some(file) = present(File::open(dir.join(manifest_name(number))))? else { return Ok(None) };
        // Size before sync: RocksDB may have appended what it has not synced yet.
        let size_bytes = file.metadata()?.len();
        file.sync_all()?;
        // RocksDB syncs the name of CURRENT some time after the name is there.
        sync_dir(dir)?;
        Ok(Some(Self { number, size_bytes }))
    }

    /// The mark beside the database, if there is one.
    fn recorded(dir: &Path) -> Result<Option<Self>, ManifestError> {
        let text = present(fs::read(dir.join(MARK_FILE))).map_err(in_folder(dir))?;
        let damaged = || ManifestError::Damaged { path: dir.join(MARK_FILE) };
        text.map(|text| Self::decode(&text).ok_or_else(damaged)).transpose()
    }

    /// Writes the mark beside the database; on stable storage on return.
    pub(super) fn record(self, dir: &Path) -> io::Result<()> {
        replace_file(&dir.join(MARK_FILE), self.encode().as_bytes())
    }

    /// Refuses `found` if it cannot come after this one.
    fn require_reached(self, found: Self, dir: &Path) -> Result<(), ManifestError> {
        let path = dir.join(manifest_name(found.number));
        let (found_bytes, synced_bytes) = (found.size_bytes, self.size_bytes);
        if found.number < self.number {
            return Err(ManifestError::Older { path, found_bytes, synced: manifest_name(self.number), synced_bytes });
        }
        if found.number == self.number && found_bytes < synced_bytes {
            return Err(ManifestError::Cut { path, found_bytes, synced_bytes });
        }
        Ok(())
    }

    /// One line, so that people can read it and a cut one is told from a whole one.
    fn encode(self) -> String {
        format!("{} {}\n", manifest_name(self.number), self.size_bytes)
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let line = str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let (name, size) = line.split_once(' ')?;
        Some(Self { number: number_of(name)?, size_bytes: size.parse().ok()? })
    }
}

fn current_number(dir: &Path) -> io::Result<Option<u64>> {
    let current = present(fs::read(dir.join(CURRENT_FILE)))?;
    Ok(current.and_then(|text| number_of(str::from_utf8(&text).ok()?.strip_suffix('\n')?)))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(MANIFEST_PREFIX)?.parse().ok()
}

fn manifest_name(number: u64) -> String {
    format!("{MANIFEST_PREFIX}{number:06}")
}

fn present<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn in_folder(dir: &Path) -> impl FnOnce(io::Error) -> ManifestError {
    let path = dir.to_owned();
    move |source| ManifestError::File { path, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::{CURRENT_FILE, MARK_FILE, ManifestError, ManifestMark, check_manifest, forget_manifest, manifest_name};

    /// A database as far as a mark looks at it.
    fn database(dir: &Path, number: u64, size_bytes: usize) {
        fs::write(dir.join(manifest_name(number)), vec![7; size_bytes]).unwrap();
        fs::write(dir.join(CURRENT_FILE), format!("{}\n", manifest_name(number))).unwrap();
    }

    fn mark(dir: &Path) {
        ManifestMark::synced(dir).unwrap().expect("there is a manifest").record(dir).unwrap();
    }

    #[test]
    fn a_mark_is_read_as_it_was_written_and_never_in_part() {
        let dir = tempfile::tempdir().unwrap();
        let written = ManifestMark { number: 1_234_567, size_bytes: 890 };
        written.record(dir.path()).unwrap();
        assert_eq!(ManifestMark::recorded(dir.path()).unwrap(), Some(written));
        let whole = fs::read(dir.path().join(MARK_FILE)).unwrap();
        for length in 0..whole.len() {
            fs::write(dir.path().join(MARK_FILE), &whole[..length]).unwrap();
            assert!(matches!(check_manifest(dir.path()), Err(ManifestError::Damaged { .. })), "{length}");
        }
    }

    #[test]
    fn a_manifest_passes_as_long_as_it_is_or_longer() {
        let dir = tempfile::tempdir().unwrap();
        database(dir.path(), 7, 100);
        check_manifest(dir.path()).unwrap();
        mark(dir.path());
        for size_bytes in [100, 101, 5_000] {
            database(dir.path(), 7, size_bytes);
            check_manifest(dir.path()).unwrap();
        }
        for size_bytes in [0, 50, 99] {
            database(dir.path(), 7, size_bytes);
            let error = check_manifest(dir.path()).unwrap_err().to_string();
            assert!(error.contains("MANIFEST-000007") && error.contains("100"), "{error}");
            assert!(error.contains(&format!("{size_bytes} bytes")), "{error}");
        }
    }

    #[test]
    fn a_later_manifest_passes_at_any_size_and_an_earlier_one_at_none() {
        let dir = tempfile::tempdir().unwrap();
        database(dir.path(), 7, 100);
        mark(dir.path());
        database(dir.path(), 8, 3);
        check_manifest(dir.path()).unwrap();
        database(dir.path(), 6, 1_000);
        let error = check_manifest(dir.path()).unwrap_err().to_string();
        assert!(error.contains("MANIFEST-000006") && error.contains("MANIFEST-000007"), "{error}");
    }

    #[test]
    fn what_rocksdb_refuses_by_itself_is_left_to_it() {
        let dir = tempfile::tempdir().unwrap();
        database(dir.path(), 7, 100);
        mark(dir.path());
        fs::remove_file(dir.path().join(manifest_name(7))).unwrap();
        check_manifest(dir.path()).unwrap();
        fs::write(dir.path().join(CURRENT_FILE), "MANI").unwrap();
        check_manifest(dir.path()).unwrap();
    }

    #[test]
    fn the_mark_of_a_database_that_is_gone_says_nothing_about_the_next() {
        let dir = tempfile::tempdir().unwrap();
        database(dir.path(), 7, 100);
        mark(dir.path());
        forget_manifest(dir.path()).unwrap();
        forget_manifest(dir.path()).unwrap();
        database(dir.path(), 1, 10);
        check_manifest(dir.path()).unwrap();
    }
}
