//! Open handles.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use super::FsError;
use super::blob_store::BlobStore;
use super::directory_reader::DirectoryReader;
use super::session::Session;

/// An open file or directory.
pub(super) enum Handle<S: BlobStore> {
    /// A committed blob, kept as it was opened.
    Blob(Arc<S::Blob>),
    /// A file being written.
    Session {
        /// The file.
        session: Arc<Session<S>>,
        /// Whether this handle writes.
        writes: bool,
        /// Whether it writes at the end only.
        appends: bool,
    },
    /// The directory.
    Directory(DirectoryReader<S>),
}

/// Handles by number.
pub(super) struct HandleTable<S: BlobStore> {
    next: AtomicU64,
    handles: RwLock<HashMap<u64, Arc<Handle<S>>>>,
}

impl<S: BlobStore> HandleTable<S> {
    pub(super) fn new() -> Self {
        Self { next: AtomicU64::new(1), handles: RwLock::new(HashMap::new()) }
    }

    pub(super) fn add(&self, handle: Handle<S>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.handles.write().insert(number, Arc::new(handle));
        number
    }

    pub(super) fn get(&self, number: u64) -> Result<Arc<Handle<S>>, FsError> {
        self.handles.read().get(&number).cloned().ok_or(FsError::BadHandle)
    }

    pub(super) fn remove(&self, number: u64) -> Result<Arc<Handle<S>>, FsError> {
        self.handles.write().remove(&number).ok_or(FsError::BadHandle)
    }
}
