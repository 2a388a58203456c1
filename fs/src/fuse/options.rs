use std::time::Duration;

use crate::filesystem::FileSystemOptions;

/// Default of [`MountOptions::deadline`].
const DEADLINE: Duration = Duration::from_secs(30);

/// How a directory is mounted.
#[derive(Debug, Clone)]
pub struct MountOptions {
    /// Let other users in; file permissions then count.
    pub allow_other: bool,
    /// Extended attributes tell what a file is in the store. The kernel then asks for attributes at every write, too.
    pub shows_extended_attributes: bool,
    /// How long a program waits for one request.
    pub deadline: Duration,
    /// The file system under the mount: layout of new files, memory, owner of the directory.
    pub files: FileSystemOptions,
}

impl Default for MountOptions {
    fn default() -> Self {
        Self {
            allow_other: false,
            shows_extended_attributes: false,
            deadline: DEADLINE,
            files: FileSystemOptions::default(),
        }
    }
}
