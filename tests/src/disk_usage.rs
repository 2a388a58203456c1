//! Disk space that a folder takes, as `du` counts it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Unit of `st_blocks`, whatever the block size of the file system.
const STAT_BLOCK_BYTES: u64 = 512;

/// Allocated bytes of a file or of a folder with all that is in it. A file that goes while the folder
/// is walked counts as nothing, one with several names in it counts once.
///
/// # Panics
/// When the folder cannot be read for another reason.
#[must_use]
pub fn allocated_bytes(path: &Path) -> u64 {
    walk(path, &mut HashSet::new()).unwrap_or_else(|error| panic!("cannot measure {}: {error}", path.display()))
}

/// `seen` has the files that have further names.
fn walk(path: &Path, seen: &mut HashSet<(u64, u64)>) -> io::Result<u64> {
    let Some(metadata) = present(fs::symlink_metadata(path))? else { return Ok(0) };
    if !metadata.is_dir() && metadata.nlink() > 1 && !seen.insert((metadata.dev(), metadata.ino())) {
        return Ok(0);
    }
    let mut bytes = metadata.blocks() * STAT_BLOCK_BYTES;
    if metadata.is_dir() {
        let Some(entries) = present(fs::read_dir(path))? else { return Ok(0) };
        for entry in entries {
            bytes += walk(&entry?.path(), seen)?;
        }
    }
    Ok(bytes)
}

fn present<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::allocated_bytes;
    use std::fs::{self, File};

    #[test]
    fn a_hole_costs_nothing_and_bytes_cost_their_blocks() {
        let folder = tempfile::tempdir().unwrap();
        let before = allocated_bytes(folder.path());
        File::create(folder.path().join("hole")).unwrap().set_len(1 << 30).unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        let full = folder.path().join("inner/full");
        fs::write(&full, vec![7; 1 << 20]).unwrap();
        File::open(&full).unwrap().sync_all().unwrap();
        let grown = allocated_bytes(folder.path()) - before;
        assert!((1 << 20..2 << 20).contains(&grown), "grew by {grown}");
    }

    #[test]
    fn a_file_with_two_names_counts_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, vec![7; 1 << 20]).unwrap();
        File::open(&file).unwrap().sync_all().unwrap();
        let before = allocated_bytes(folder.path());
        fs::hard_link(&file, folder.path().join("other")).unwrap();
        let grown = allocated_bytes(folder.path()) - before;
        assert!(grown < 1 << 20, "grew by {grown}");
    }

    #[test]
    fn a_path_that_is_gone_takes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(allocated_bytes(&folder.path().join("gone")), 0);
    }
}
