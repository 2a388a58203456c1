use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cairn_proto::records::Attributes;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{getegid, geteuid};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Stdin, stdin};

use super::Failure;

/// Bytes that one read of a file may bring.
const READ_LIMIT_BYTES: usize = 1 << 20;

/// What `cairn put` reads.
pub(crate) struct PutSource {
    input: Input,
    size_bytes: Option<u64>,
    attributes: Attributes,
}

enum Input {
    Standard(Stdin),
    File { file: File, path: PathBuf, seekable: bool },
}

impl PutSource {
    /// Opens a file, or standard input for `-`.
    pub(crate) async fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self { input: Input::Standard(stdin()), size_bytes: None, attributes: of_a_new_file() });
        }
        let mut file = File::open(path).await.map_err(Failure::file("open", path))?;
        file.set_max_buf_size(READ_LIMIT_BYTES);
        let metadata = file.metadata().await.map_err(Failure::file("look at", path))?;
        if metadata.is_dir() {
            return Err(Failure::file("read", path)(std::io::ErrorKind::IsADirectory.into()));
        }
        let seekable = metadata.is_file();
        Ok(Self {
            input: Input::File { file, path: path.to_owned(), seekable },
            size_bytes: seekable.then_some(metadata.len()),
            attributes: if seekable { of_file(&metadata) } else { of_a_new_file() },
        })
    }

    /// Its length, where that is known before the end.
    pub(crate) fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// What is kept of the file beside its bytes.
    pub(crate) fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// Reads some bytes; 0 at the end.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        match &mut self.input {
            Input::Standard(input) => input.read(buffer).await.map_err(Failure::Input),
            Input::File { file, path, .. } => {
                file.read(buffer).await.map_err(|source| Failure::file("read", path.as_path())(source))
            }
        }
    }

    /// Whether it can be read a second time.
    pub(crate) fn can_restart(&self) -> bool {
        matches!(self.input, Input::File { seekable: true, .. })
    }

    /// Goes back to the beginning.
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        match &mut self.input {
            Input::Standard(_) => Ok(()),
            Input::File { file, path, .. } => {
                let rewound = file.seek(SeekFrom::Start(0)).await;
                rewound.map(drop).map_err(|source| Failure::file("read again", path.as_path())(source))
            }
        }
    }
}

fn of_file(metadata: &std::fs::Metadata) -> Attributes {
    Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime_seconds: metadata.mtime(),
        mtime_nanoseconds: u32::try_from(metadata.mtime_nsec()).expect("nanoseconds are below a second"),
    }
}

fn of_a_new_file() -> Attributes {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // The mask can only be read by setting it; nothing else of this process makes files meanwhile.
    let mask = umask(Mode::empty());
    umask(mask);
    Attributes {
        mode: 0o666 & !mask.bits(),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
        mtime_seconds: i64::try_from(now.as_secs()).unwrap_or(i64::MAX),
        mtime_nanoseconds: now.subsec_nanos(),
    }
}

#[cfg(test)]
mod tests {
    use super::PutSource;
    use crate::cli::Failure;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[tokio::test]
    async fn a_file_is_read_again_from_the_beginning() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"hello").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let mut source = PutSource::open(file.path()).await.unwrap();
        assert_eq!((source.size_bytes(), source.attributes().mode), (Some(5), 0o640));
        let mut buffer = [0; 16];
        assert_eq!(source.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(source.read(&mut buffer).await.unwrap(), 0);
        assert!(source.can_restart());
        source.restart().await.unwrap();
        assert_eq!(source.read(&mut buffer).await.unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
    }

    #[tokio::test]
    async fn a_device_has_no_length_and_is_read_once() {
        let source = PutSource::open(Path::new("/dev/null")).await.unwrap();
        assert_eq!((source.size_bytes(), source.can_restart()), (None, false));
    }

    #[tokio::test]
    async fn folders_and_missing_files_are_refused_by_name() {
        for path in ["/", "/no/such/file"] {
            let failure = PutSource::open(Path::new(path)).await.map(drop).unwrap_err();
            assert!(matches!(failure, Failure::File { .. }) && failure.to_string().contains(path), "{failure}");
        }
    }
}
