//! What the kernel does between a program and the file system.

use std::ffi::OsStr;
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::Layout;

use crate::filesystem::fake_store::FakeStore;
use crate::filesystem::{AttributeChange, CopyRange, FileAttributes, FileSystem, FileSystemOptions, FsError, OpenMode};

/// Bytes of a row in tests: two cells.
pub(super) const ROW: usize = 2 * CELL;
const CELL: usize = 4096;
pub(super) const CELL_BYTES: u32 = 4096;

/// The thread of a program.
pub(super) const CALLER: u32 = 1;
pub(super) const READ: OpenMode = OpenMode {
    writes: false,
    only_writes: false,
    appends: false,
    truncates: false,
    is_exclusive: false,
    caller: CALLER,
};
pub(super) const WRITE: OpenMode = OpenMode { writes: true, ..READ };
pub(super) const APPEND: OpenMode = OpenMode { appends: true, ..WRITE };
pub(super) const TRUNCATE: OpenMode = OpenMode { truncates: true, ..WRITE };
pub(super) const EXCLUSIVE: OpenMode = OpenMode { is_exclusive: true, ..WRITE };

/// A mount as programs see it.
#[derive(Clone)]
pub(super) struct Kernel {
    pub(super) files: Arc<FileSystem<FakeStore>>,
    pub(super) store: FakeStore,
}

impl Kernel {
    pub(super) fn new() -> Self {
        let layout = Layout::new(2, 1, CELL_BYTES, 1 << 20).unwrap();
        Self::on(FakeStore::new(layout), FileSystemOptions::default())
    }

    pub(super) fn on(store: FakeStore, options: FileSystemOptions) -> Self {
        Self { files: Arc::new(FileSystem::new(store.clone(), options)), store }
    }

    /// Another mount of the same cluster.
    pub(super) fn other_mount(&self) -> Self {
        Self::on(self.store.clone(), FileSystemOptions::default())
    }

    /// Opens, creating if needed, and looks a stale name up again, once.
    pub(super) async fn open(&self, name: &str, mode: OpenMode) -> Result<u64, FsError> {
        match self.open_once(name, mode).await {
            Err(FsError::LookAgain) => self.open_once(name, mode).await,
            opened => opened,
        }
    }

    async fn open_once(&self, name: &str, mode: OpenMode) -> Result<u64, FsError> {
        match self.files.look_up(OsStr::new(name), CALLER).await {
            Ok(_) if mode.is_exclusive => Err(FsError::Exists),
            Ok(file) => {
                let opened = self.files.open(file.inode, mode).await;
                self.files.forget(file.inode, 1);
                opened.map(|opened| opened.handle)
            }
            Err(FsError::NotFound) if mode.writes => {
                let created = self.files.create(OsStr::new(name), 0o644, (7, 8), mode).await?;
                self.files.forget(created.file.inode, 1);
                Ok(created.opened.handle)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn write(&self, handle: u64, offset: u64, data: &[u8]) -> Result<(), FsError> {
        self.files.write(handle, offset, Bytes::copy_from_slice(data), false).await
    }

    pub(super) async fn flush(&self, handle: u64) -> Result<(), FsError> {
        self.files.flush(handle, 0).await
    }

    /// Closes the only descriptor of a handle.
    pub(super) async fn close(&self, handle: u64) -> Result<(), FsError> {
        let flushed = self.flush(handle).await;
        self.files.release(handle).await.unwrap();
        flushed
    }

    pub(super) async fn read(&self, handle: u64) -> Result<Vec<u8>, FsError> {
        self.files.read(handle, 0, 1 << 24).await.map(Vec::from)
    }

    pub(super) async fn stat(&self, name: &str) -> Result<FileAttributes, FsError> {
        let file = self.files.look_up(OsStr::new(name), CALLER).await?;
        self.files.forget(file.inode, 1);
        Ok(file)
    }

    /// `chmod`, `touch -d`, `truncate` by name.
    pub(super) async fn change(&self, name: &str, change: AttributeChange) -> Result<FileAttributes, FsError> {
        match self.change_once(name, change).await {
            Err(FsError::LookAgain) => self.change_once(name, change).await,
            changed => changed,
        }
    }

    async fn change_once(&self, name: &str, change: AttributeChange) -> Result<FileAttributes, FsError> {
        let file = self.files.look_up(OsStr::new(name), CALLER).await?;
        let changed = self.files.change(file.inode, change).await;
        self.files.forget(file.inode, 1);
        changed
    }

    pub(super) async fn truncate(&self, name: &str, size_bytes: u64) -> Result<(), FsError> {
        let change = AttributeChange { size_bytes: Some(size_bytes), ..AttributeChange::default() };
        self.change(name, change).await.map(drop)
    }

    pub(super) async fn unlink(&self, name: &str) -> Result<(), FsError> {
        self.files.unlink(OsStr::new(name)).await
    }

    pub(super) async fn rename(&self, from: &str, to: &str) -> Result<(), FsError> {
        self.files.rename(OsStr::new(from), OsStr::new(to), false).await
    }

    /// `cat name`.
    pub(super) async fn cat(&self, name: &str) -> Result<Vec<u8>, FsError> {
        let handle = self.open(name, READ).await?;
        let bytes = self.read(handle).await;
        self.close(handle).await?;
        bytes
    }

    /// `cp - name`.
    pub(super) async fn put(&self, name: &str, data: &[u8]) -> Result<(), FsError> {
        let handle = self.open(name, TRUNCATE).await?;
        let written = self.write(handle, 0, data).await;
        let closed = self.close(handle).await;
        written.and(closed)
    }

    /// `getfattr -n attribute name`.
    pub(super) async fn attribute(&self, name: &str, attribute: &str) -> Result<String, FsError> {
        let file = self.files.look_up(OsStr::new(name), CALLER).await?;
        let value = self.files.extended_attribute(file.inode, attribute).await;
        self.files.forget(file.inode, 1);
        value
    }

    /// What `copy_file_range` moves from the start of one open file to the start of another, reading and writing where
    /// the file system leaves it to the kernel.
    pub(super) async fn copy(&self, from: u64, to: u64) -> Result<(), FsError> {
        let range = CopyRange { from, from_offset: 0, to, to_offset: 0, length: u64::MAX };
        match self.files.copy(range, false).await? {
            Some(_) => Ok(()),
            None => self.write(to, 0, &self.read(from).await?).await,
        }
    }

    /// `cp from to`.
    pub(super) async fn cp(&self, from: &str, to: &str) -> Result<(), FsError> {
        let source = self.open(from, READ).await?;
        let target = self.open(to, TRUNCATE).await?;
        let copied = self.copy(source, target).await;
        let closed = self.close(target).await;
        self.close(source).await?;
        copied.and(closed)
    }

    /// `ls`.
    pub(super) async fn list(&self) -> Result<Vec<String>, FsError> {
        let handle = self.files.open_directory().handle;
        let mut names = Vec::new();
        let mut position = 0;
        loop {
            let entries = self.files.read_directory(handle, position, false).await?;
            let Some(last) = entries.last() else { break };
            position = last.next_position;
            names.extend(entries.into_iter().map(|entry| entry.name));
        }
        self.files.release_directory(handle)?;
        assert_eq!(names[..2], [".", ".."]);
        Ok(names.split_off(2))
    }

    /// What everybody else sees under `name`.
    pub(super) fn elsewhere(&self, name: &str) -> Option<Vec<u8>> {
        self.store.bytes(name).map(Vec::from)
    }
}

/// Bytes that differ from one another.
pub(super) fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index / 7).to_le_bytes()[0] ^ (index % 251).to_le_bytes()[0] ^ seed).collect()
}
