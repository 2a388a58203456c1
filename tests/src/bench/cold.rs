//! Making sure that the next read comes from the disks.

use std::fs;
use std::io;

/// The file that takes the order to drop caches; needs root.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// Page cache, directory entries and inodes.
const DROP_ALL: &str = "3";

/// Why nothing was made cold.
#[derive(Debug, thiserror::Error)]
pub enum ColdError {
    /// The kernel did not take the order.
    #[error("cannot drop the page cache by {DROP_CACHES} ({0}): run as root")]
    PageCache(#[source] io::Error),
    /// Daemons could not be restarted.
    #[error("cannot restart {what}: {said}")]
    Restart {
        /// Whose daemons.
        what: &'static str,
        /// What the attempt said.
        said: String,
    },
}

/// Forgets everything that is cached anywhere between the disks and a reader.
pub trait MakeCold {
    /// Returns when the directory can be used again and nothing of it is in memory.
    fn make_cold(&mut self) -> Result<(), ColdError>;
}

/// For a local directory: the page cache is all there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct DropPageCache;

impl MakeCold for DropPageCache {
    fn make_cold(&mut self) -> Result<(), ColdError> {
        nix::unistd::sync();
        fs::write(DROP_CACHES, DROP_ALL).map_err(ColdError::PageCache)
    }
}
