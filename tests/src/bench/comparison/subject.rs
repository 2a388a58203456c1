//! What is compared: a mounted folder, the daemons behind it, and what can be done to them.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::cold_cache::drop_page_cache;
use super::system::System;
use crate::disk_usage::allocated_bytes;
use crate::fuse::notice;
use crate::process::Process;

/// Why a system cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// The kernel did not take the order.
    #[error("cannot drop the page cache by {file} ({source}): run as root")]
    PageCache {
        /// The file that takes it.
        file: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// A program did not do what it is there for.
    #[error("{what}: {said}")]
    Failed {
        /// What was tried.
        what: String,
        /// What it said.
        said: String,
    },
}

impl SubjectError {
    pub(super) fn failed(what: impl Into<String>, said: &dyn fmt::Display) -> Self {
        Self::Failed { what: what.into(), said: said.to_string() }
    }
}

/// One process of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Daemon {
    /// `master-N` and `node-N` keep metadata and bytes; anything else is neither.
    pub(super) name: String,
    pub(super) process: Process,
}

/// A running system. Dropped, it is gone with all it kept.
pub(super) trait Subject {
    fn system(&self) -> System;

    /// Where the work is done.
    fn folder(&self) -> PathBuf;

    /// All its processes that run.
    fn daemons(&self) -> Result<Vec<Daemon>, SubjectError>;

    /// Starts every daemon and the mount again, and empties the page cache.
    fn make_cold(&mut self) -> Result<(), SubjectError>;

    /// Kills two nodes; false where there are none to lose.
    fn lose_two_nodes(&mut self) -> Result<bool, SubjectError>;

    /// Disk space that what is in the folder takes, wherever it is kept.
    fn stored_bytes(&self) -> u64;
}

/// A folder of a disk.
#[derive(Debug)]
pub(super) struct DiskFolder {
    folder: PathBuf,
    removed: bool,
}

impl DiskFolder {
    /// One that is there.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), removed: false }
    }

    /// A new one, which goes when this is dropped.
    pub(super) fn new_in(scene: &Path) -> Result<Self, SubjectError> {
        let folder = scene.join("disk");
        fs::create_dir_all(&folder).map_err(|error| SubjectError::failed(folder.display().to_string(), &error))?;
        Ok(Self { folder, removed: true })
    }
}

impl Subject for DiskFolder {
    fn system(&self) -> System {
        System::Disk
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn daemons(&self) -> Result<Vec<Daemon>, SubjectError> {
        Ok(Vec::new())
    }

    fn make_cold(&mut self) -> Result<(), SubjectError> {
        drop_page_cache()
    }

    fn lose_two_nodes(&mut self) -> Result<bool, SubjectError> {
        Ok(false)
    }

    fn stored_bytes(&self) -> u64 {
        allocated_bytes(&self.folder)
    }
}

impl Drop for DiskFolder {
    fn drop(&mut self) {
        if self.removed && fs::remove_dir_all(&self.folder).is_err() {
            notice(&format!("{} is still there", self.folder.display()));
        }
    }
}
