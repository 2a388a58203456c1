use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use cairn_proto::records::Attributes;

use super::{Failure, console};

/// Where `cairn get` writes. A regular file appears whole, or not at all: the bytes go into a hidden
/// file beside it that takes its name at the end.
#[derive(Debug)]
pub(crate) enum GetTarget {
    /// Standard output.
    Standard,
    /// A pipe or device: nothing can be taken back there.
    Special {
        /// Open for writing.
        file: File,
        /// Its name.
        path: PathBuf,
    },
    /// A regular file.
    Regular(RegularTarget),
}

/// A regular file that is being written under another name.
#[derive(Debug)]
pub(crate) struct RegularTarget {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    attributes: Attributes,
    named: bool,
}

impl GetTarget {
    /// Opens the target; `-` is standard output.
    pub(crate) fn create(path: &Path, attributes: &Attributes) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Standard);
        }
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                let file = OpenOptions::new().write(true).open(path).map_err(Failure::file("open", path))?;
                Ok(Self::Special { file, path: path.to_owned() })
            }
            // Behind a symbolic link, it is the file it leads to that is replaced.
            Ok(_) => {
                let real = path.canonicalize().map_err(Failure::file("find", path))?;
                RegularTarget::create(real, attributes).map(Self::Regular)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                RegularTarget::create(path.to_owned(), attributes).map(Self::Regular)
            }
            Err(error) => Err(Failure::file("look at", path)(error)),
        }
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Standard => console::bytes(bytes),
            Self::Special { file, path } => {
                file.write_all(bytes).map_err(|source| Failure::file("write", path.as_path())(source))
            }
            Self::Regular(target) => {
                target.file.write_all(bytes).map_err(|source| Failure::file("write", target.partial.as_path())(source))
            }
        }
    }

    /// All bytes are there and right.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Standard => console::flush(),
            Self::Special { .. } => Ok(()),
            Self::Regular(target) => target.finish(),
        }
    }
}

impl RegularTarget {
    fn create(path: PathBuf, attributes: &Attributes) -> Result<Self, Failure> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.cairn-{}", std::process::id()));
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&partial);
        let file = file.map_err(Failure::file("create", partial.clone()))?;
        Ok(Self { file, partial, path, attributes: *attributes, named: false })
    }

    fn finish(mut self) -> Result<(), Failure> {
        let finish = || {
            self.file.set_permissions(Permissions::from_mode(self.attributes.mode & 0o777))?;
            self.file.set_modified(modified(&self.attributes))?;
            std::fs::rename(&self.partial, &self.path)
        };
        finish().map_err(Failure::file("write", self.path.clone()))?;
        self.named = true;
        Ok(())
    }
}

impl Drop for RegularTarget {
    fn drop(&mut self) {
        if !self.named {
            // The failure that led here is reported; a hidden file left behind is the lesser one.
            std::fs::remove_file(&self.partial).ok();
        }
    }
}

fn modified(attributes: &Attributes) -> SystemTime {
    let nanoseconds = Duration::from_nanos(attributes.mtime_nanoseconds.into());
    let seconds = Duration::from_secs(attributes.mtime_seconds.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    let whole = if attributes.mtime_seconds < 0 { epoch.checked_sub(seconds) } else { epoch.checked_add(seconds) };
    whole.and_then(|time| time.checked_add(nanoseconds)).unwrap_or(epoch)
}

#[cfg(test)]
mod tests {
    use super::GetTarget;
    use cairn_proto::records::Attributes;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    const ATTRIBUTES: Attributes =
        Attributes { mode: 0o640, uid: 0, gid: 0, mtime_seconds: 1_700_000_000, mtime_nanoseconds: 5 };

    #[test]
    fn a_file_appears_whole_with_its_mode_and_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let mut target = GetTarget::create(&path, &ATTRIBUTES).unwrap();
        target.write(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        target.finish().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let metadata = std::fs::metadata(&path).unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.mtime(), metadata.mtime_nsec()), (0o640, 1_700_000_000, 5));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_fails_leaves_the_file_as_it_was_and_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let mut target = GetTarget::create(&path, &ATTRIBUTES).unwrap();
        target.write(b"half").unwrap();
        drop(target);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_and_the_file_behind_it_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let mut target = GetTarget::create(&link, &ATTRIBUTES).unwrap();
        target.write(b"new").unwrap();
        target.finish().unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn a_device_is_written_and_not_replaced() {
        let mut target = GetTarget::create(Path::new("/dev/null"), &ATTRIBUTES).unwrap();
        target.write(b"gone").unwrap();
        target.finish().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_folder_that_is_not_there_is_named() {
        let failure = GetTarget::create(Path::new("/no/such/f"), &ATTRIBUTES).unwrap_err();
        assert!(failure.to_string().contains("/no/such/"), "{failure}");
    }
}
