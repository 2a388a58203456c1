use std::fs;

use super::subject::SubjectError;

/// The file that takes the order to drop caches; needs root.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// Page cache, directory entries and inodes.
const DROP_ALL: &str = "3";

/// Writes out what is dirty and forgets all that the kernel has of any disk.
pub(super) fn drop_page_cache() -> Result<(), SubjectError> {
    nix::unistd::sync();
    fs::write(DROP_CACHES, DROP_ALL).map_err(|source| SubjectError::PageCache { file: DROP_CACHES, source })
}
