//! What is mounted where, without touching any mount.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::SOURCE;

/// The mounts of this process's namespace.
const MOUNT_TABLE: &str = "/proc/self/mountinfo";

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// `major:minor`, unique while it is mounted.
    pub(super) device: String,
    pub(super) path: PathBuf,
    pub(super) kind: String,
    pub(super) source: String,
}

impl MountEntry {
    /// Whether it is a mount of this program, of whatever process.
    pub(crate) fn is_cairn(&self) -> bool {
        self.kind.starts_with("fuse") && self.source == SOURCE
    }
}

/// The file system that `path` shows: the last that was mounted there.
pub(crate) fn mounted_at(path: &Path) -> io::Result<Option<MountEntry>> {
    let table = std::fs::read_to_string(MOUNT_TABLE)?;
    Ok(table.lines().filter_map(parse).rfind(|entry| entry.path == path))
}

fn parse(line: &str) -> Option<MountEntry> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let device = place.nth(2)?.to_owned();
    let path = PathBuf::from(unescaped(place.nth(1)?));
    let mut what = what.split(' ');
    Some(MountEntry { device, path, kind: what.next()?.to_owned(), source: what.next()?.to_owned() })
}

/// Blanks, tabs, line ends and backslashes are written as three octal digits.
fn unescaped(text: &str) -> OsString {
    let mut parts = text.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part.get(..3).and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend_from_slice(&part.as_bytes()[3..]);
            }
            None => bytes.extend_from_slice(part.as_bytes()),
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{MountEntry, mounted_at, parse};

    #[test]
    fn a_line_of_the_table_is_read() {
        let line = r"36 35 0:57 / /mnt/my\040blobs rw,nosuid shared:1 - fuse cairn rw,user_id=0";
        let expected = MountEntry {
            device: "0:57".to_owned(),
            path: PathBuf::from("/mnt/my blobs"),
            kind: "fuse".to_owned(),
            source: "cairn".to_owned(),
        };
        assert!(expected.is_cairn());
        assert_eq!(parse(line), Some(expected));
        assert!(!parse("36 35 0:57 / /mnt rw - fuse.sshfs host: rw").unwrap().is_cairn());
        assert_eq!(parse("garbage"), None);
    }

    #[test]
    fn the_table_of_this_machine_has_a_root() {
        assert!(mounted_at(Path::new("/")).unwrap().is_some());
        assert_eq!(mounted_at(Path::new("/no/such/mount")).unwrap(), None);
    }
}
