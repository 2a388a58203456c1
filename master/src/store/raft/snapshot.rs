use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cairn_proto::storage::sync_dir;
use cairn_proto::wire;

/// Files of one snapshot.
pub(super) const FILES_LIMIT: usize = 4096;
/// Bytes of a file in one message.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// A checkpoint of the state on disk, removed when nobody holds it any more. Its files never change.
#[derive(Debug)]
pub(crate) struct SnapshotFiles {
    dir: PathBuf,
    files: Vec<wire::SnapshotFile>,
}

impl SnapshotFiles {
    /// Takes over a complete checkpoint: reads every file for its size and checksum.
    pub(super) fn measure(dir: PathBuf) -> io::Result<Self> {
        let mut snapshot = Self { dir, files: Vec::new() };
        let mut names = Vec::new();
        for entry in fs::read_dir(&snapshot.dir)? {
            let entry = entry?;
            names.push(
                entry.file_name().into_string().map_err(|name| io::Error::other(format!("file {}", name.display())))?,
            );
        }
        names.sort_unstable();
        for name in names {
            let (size_bytes, crc32c) = checksum(&snapshot.dir.join(&name))?;
            snapshot.files.push(wire::SnapshotFile { name, size_bytes, crc32c });
        }
        Ok(snapshot)
    }

    /// Takes over files that were checked as they were received.
    pub(super) fn received(dir: PathBuf, files: Vec<wire::SnapshotFile>) -> Self {
        Self { dir, files }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn files(&self) -> &[wire::SnapshotFile] {
        &self.files
    }

    /// Its name in the messages of both sides.
    pub(super) fn id(&self) -> String {
        self.dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Makes a copy that a database may be opened on; every file is on stable storage when this returns. Tables are
    /// linked, because no database changes them; the rest is copied.
    pub(super) fn copy_to(&self, target: &Path) -> io::Result<()> {
        for file in &self.files {
            let (from, to) = (self.dir.join(&file.name), target.join(&file.name));
            let linked = is_table(&file.name) && fs::hard_link(&from, &to).is_ok();
            if !linked {
                fs::copy(&from, &to)?;
            }
            File::open(&to)?.sync_all()?;
        }
        sync_dir(target)
    }
}

impl Drop for SnapshotFiles {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "a snapshot is left until the next start");
        }
    }
}

fn is_table(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "sst")
}

fn checksum(path: &Path) -> io::Result<(u64, u32)> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PIECE_BYTES];
    let (mut size_bytes, mut crc) = (0, 0);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((size_bytes, crc));
        }
        size_bytes += read as u64;
        crc = crc32c::crc32c_append(crc, &buffer[..read]);
    }
}
