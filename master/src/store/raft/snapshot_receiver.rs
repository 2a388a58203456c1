use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use cairn_proto::storage::sync_dir;
use cairn_proto::wire;
use cairn_proto::wire::snapshot_piece::Piece;
use uuid::Uuid;

use super::super::durable_files::create_dir;
use super::snapshot::{FILES_LIMIT, PIECE_BYTES, SnapshotFiles};

/// Bytes of a file's name.
const NAME_LIMIT_BYTES: usize = 255;

/// Puts a snapshot together from its pieces, in a directory that is removed unless it gets complete.
pub(crate) struct SnapshotReceiver {
    dir: Option<PathBuf>,
    files: Vec<wire::SnapshotFile>,
    /// The file being written, and what it has so far.
    current: Option<Receiving>,
    next: usize,
    ended: bool,
}

struct Receiving {
    file: File,
    size_bytes: u64,
    crc: u32,
}

/// Why a snapshot was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    /// The sender is wrong, or what it sent was damaged on the way.
    #[error("invalid snapshot: {0}")]
    Invalid(String),
    /// It could not be written.
    #[error("cannot write the snapshot: {0}")]
    Disk(#[from] io::Error),
}

impl SnapshotReceiver {
    /// Begins with the files that the header announces.
    pub(crate) fn begin(incoming: &std::path::Path, files: Vec<wire::SnapshotFile>) -> Result<Self, ReceiveError> {
        check_names(&files)?;
        let dir = incoming.join(Uuid::now_v7().to_string());
        create_dir(&dir)?;
        let mut receiver = Self { dir: Some(dir), files, current: None, next: 0, ended: false };
        receiver.finish_files()?;
        Ok(receiver)
    }

    /// Takes the next piece.
    pub(crate) fn take(&mut self, piece: wire::SnapshotPiece) -> Result<(), ReceiveError> {
        match piece.piece {
            Some(Piece::Data(data)) if !self.ended => self.write(&data),
            Some(Piece::End(_)) if !self.ended && self.current.is_none() && self.next == self.files.len() => {
                self.ended = true;
                Ok(())
            }
            Some(Piece::End(_)) => Err(ReceiveError::Invalid("it ends before its last file does".to_owned())),
            Some(Piece::Data(_) | Piece::Header(_)) | None => {
                Err(ReceiveError::Invalid("a piece out of place".to_owned()))
            }
        }
    }

    /// The complete snapshot; all of it is on stable storage when this returns.
    pub(crate) fn finish(mut self) -> Result<SnapshotFiles, ReceiveError> {
        if !self.ended {
            return Err(ReceiveError::Invalid("the stream broke off".to_owned()));
        }
        let dir = self.dir.take().ok_or_else(|| ReceiveError::Invalid("it was finished before".to_owned()))?;
        let snapshot = SnapshotFiles::received(dir, std::mem::take(&mut self.files));
        sync_dir(snapshot.dir())?;
        Ok(snapshot)
    }

    fn write(&mut self, data: &[u8]) -> Result<(), ReceiveError> {
        if data.is_empty() || data.len() > PIECE_BYTES {
            return Err(ReceiveError::Invalid(format!("a piece of {} bytes", data.len())));
        }
        let (Some(current), Some(announced)) = (&mut self.current, self.files.get(self.next)) else {
            return Err(ReceiveError::Invalid("more bytes than it announced".to_owned()));
        };
        current.size_bytes += data.len() as u64;
        if current.size_bytes > announced.size_bytes {
            return Err(ReceiveError::Invalid(format!("{} is longer than announced", announced.name)));
        }
        current.crc = crc32c::crc32c_append(current.crc, data);
        current.file.write_all(data)?;
        if current.size_bytes == announced.size_bytes { self.finish_files() } else { Ok(()) }
    }

    /// Closes the file that is complete, makes those that are empty, and opens the next that has bytes.
    fn finish_files(&mut self) -> Result<(), ReceiveError> {
        loop {
            if let Some(complete) = self.current.take() {
                let announced = &self.files[self.next];
                if complete.crc != announced.crc32c {
                    return Err(ReceiveError::Invalid(format!("{} was damaged on the way", announced.name)));
                }
                complete.file.sync_all()?;
                self.next += 1;
            }
            let (Some(announced), Some(dir)) = (self.files.get(self.next), &self.dir) else { return Ok(()) };
            let file = File::create_new(dir.join(&announced.name))?;
            self.current = Some(Receiving { file, size_bytes: 0, crc: 0 });
            if announced.size_bytes > 0 {
                return Ok(());
            }
        }
    }
}

impl Drop for SnapshotReceiver {
    fn drop(&mut self) {
        if let Some(dir) = self.dir.take()
            && let Err(error) = fs::remove_dir_all(&dir)
        {
            tracing::warn!(%error, dir = %dir.display(), "a broken snapshot is left until the next start");
        }
    }
}

/// Names come from another machine: nothing but plain names of one directory.
fn check_names(files: &[wire::SnapshotFile]) -> Result<(), ReceiveError> {
    if files.len() > FILES_LIMIT {
        return Err(ReceiveError::Invalid(format!("{} files", files.len())));
    }
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= NAME_LIMIT_BYTES
            && !name.starts_with('.')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match files.iter().find(|file| !plain(&file.name)) {
        Some(file) => Err(ReceiveError::Invalid(format!("a file named {:?}", file.name))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;
    use cairn_proto::wire;
    use cairn_proto::wire::snapshot_piece::Piece;

    use super::{PIECE_BYTES, ReceiveError, SnapshotReceiver};

    fn file(name: &str, contents: &[u8]) -> wire::SnapshotFile {
        let size_bytes = contents.len() as u64;
        wire::SnapshotFile { name: name.to_owned(), size_bytes, crc32c: crc32c::crc32c(contents) }
    }

    fn data(bytes: &'static [u8]) -> wire::SnapshotPiece {
        wire::SnapshotPiece { piece: Some(Piece::Data(Bytes::from_static(bytes))) }
    }

    fn end() -> wire::SnapshotPiece {
        wire::SnapshotPiece { piece: Some(Piece::End(wire::SnapshotEnd {})) }
    }

    fn is_empty(dir: &Path) -> bool {
        std::fs::read_dir(dir).unwrap().next().is_none()
    }

    fn receive(
        dir: &Path,
        files: Vec<wire::SnapshotFile>,
        pieces: Vec<wire::SnapshotPiece>,
    ) -> Result<(), ReceiveError> {
        let mut receiver = SnapshotReceiver::begin(dir, files)?;
        pieces.into_iter().try_for_each(|piece| receiver.take(piece))?;
        receiver.finish().map(drop)
    }

    #[test]
    fn pieces_become_files_and_empty_files_need_none() {
        let incoming = tempfile::tempdir().unwrap();
        let files = vec![file("a", b""), file("b", b"12345"), file("c", b""), file("d", b"x"), file("e", b"")];
        let mut receiver = SnapshotReceiver::begin(incoming.path(), files).unwrap();
        for piece in [data(b"123"), data(b"45"), data(b"x"), end()] {
            receiver.take(piece).unwrap();
        }
        let snapshot = receiver.finish().unwrap();
        assert_eq!(std::fs::read(snapshot.dir().join("b")).unwrap(), b"12345");
        assert_eq!(std::fs::read_dir(snapshot.dir()).unwrap().count(), 5);
        drop(snapshot);
        assert!(is_empty(incoming.path()));
    }

    #[test]
    fn damage_and_disorder_are_refused_and_leave_nothing() {
        let incoming = tempfile::tempdir().unwrap();
        let good = || vec![file("a", b"12")];
        let header = wire::SnapshotPiece { piece: Some(Piece::Header(wire::SnapshotHeader::default())) };
        let long: &'static [u8] = vec![0; PIECE_BYTES + 1].leak();
        for (files, pieces) in [
            (good(), vec![data(b"1x"), end()]),
            (good(), vec![data(b"123"), end()]),
            (good(), vec![data(b"1"), end()]),
            (good(), vec![data(b"12")]),
            (good(), vec![data(b"12"), data(b"3"), end()]),
            (good(), vec![data(b"12"), end(), end()]),
            (good(), vec![data(b""), data(b"12"), end()]),
            (good(), vec![header]),
            (good(), vec![wire::SnapshotPiece { piece: None }]),
            (vec![file("../a", b"")], vec![end()]),
            (vec![file("", b"")], vec![end()]),
            (vec![file("a/b", b"")], vec![end()]),
            (vec![file("a", b""), file("a", b"")], vec![end()]),
            (vec![file("a", long)], vec![data(long), end()]),
        ] {
            receive(incoming.path(), files.clone(), pieces).expect_err(&format!("{files:?}"));
            assert!(is_empty(incoming.path()), "{files:?}");
        }
    }
}
