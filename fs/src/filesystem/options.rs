use cairn_codec::Layout;

/// Default of [`FileSystemOptions::row_memory_bytes`].
const ROW_MEMORY_BYTES: usize = 96 << 20;
/// Default of [`FileSystemOptions::inode_limit`].
const INODE_LIMIT: usize = 200_000;
/// Permissions of the directory.
const DIRECTORY_MODE: u32 = 0o755;

/// What becomes of what a process wrote that a signal ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KilledWriter {
    /// It is committed as far as it came, with the signal on record.
    #[default]
    Commits,
    /// It is given up: the key keeps its last commit.
    Aborts,
}

/// How a [`super::FileSystem`] is set up.
#[derive(Debug, Clone)]
pub struct FileSystemOptions {
    /// Layout of new files; `None`: the cluster's default.
    pub layout: Option<Layout>,
    /// Bytes of rows being filled, over all open files. Writers wait while they are used up.
    pub row_memory_bytes: usize,
    /// Inodes above which the kernel is asked to forget the oldest.
    pub inode_limit: usize,
    /// What becomes of a file whose writer is killed.
    pub killed_writer: KilledWriter,
    /// Owner of the directory.
    pub uid: u32,
    /// Group of the directory.
    pub gid: u32,
    /// Permissions of the directory.
    pub directory_mode: u32,
}

impl Default for FileSystemOptions {
    fn default() -> Self {
        Self {
            layout: None,
            row_memory_bytes: ROW_MEMORY_BYTES,
            inode_limit: INODE_LIMIT,
            killed_writer: KilledWriter::default(),
            uid: nix::unistd::getuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            directory_mode: DIRECTORY_MODE,
        }
    }
}
