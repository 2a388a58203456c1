//! The operations of the directory and its files.

mod attribute_operations;
mod closing;
mod copying;
mod following;
mod input_output;
mod names;
mod opening;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_proto::records::{Attributes, Key, KeyEntry};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;
use tokio_util::task::AbortOnDropHandle;

use crate::client::ClientError;

use super::attributes::FileAttributes;
use super::blob_store::{BlobStore, Capacity};
use super::handle_table::HandleTable;
use super::inode_table::InodeTable;
use super::kernel_cache::{KernelCache, NameCache};
use super::options::FileSystemOptions;
use super::recent_look_ups::RecentLookUps;
use super::row_budget::RowBudget;
use super::session_table::SessionTable;
use super::{FsError, Inode};

pub use closing::{Drained, LostFile};
pub use copying::CopyRange;
pub use names::OpenedDirectory;
pub use opening::{Created, OpenMode, Opened, Pages};

/// How long the cluster's capacity is taken as known.
const CAPACITY_AGE: Duration = Duration::from_secs(1);

/// A flat directory of blobs. All operations may run at the same time; those on one file being written follow one
/// another.
pub struct FileSystem<S: BlobStore> {
    store: Arc<S>,
    options: FileSystemOptions,
    inodes: InodeTable<S>,
    handles: HandleTable<S>,
    sessions: Arc<SessionTable<S>>,
    budget: Arc<RowBudget>,
    capacity: AsyncMutex<Option<(Instant, Capacity)>>,
    directory: Mutex<Attributes>,
    lost_files: Mutex<Vec<LostFile>>,
    kernel: Arc<KernelCache>,
    recent: Arc<RecentLookUps<S::Blob>>,
    _relief: AbortOnDropHandle<()>,
    _letting_go: AbortOnDropHandle<()>,
}

impl<S: BlobStore> FileSystem<S> {
    /// The directory of `store`. Must be called within a runtime.
    pub fn new(store: S, options: FileSystemOptions) -> Self {
        let kernel = Arc::new(KernelCache::new(options.inode_limit));
        let sessions = Arc::new(SessionTable::new(Arc::clone(&kernel)));
        let budget = Arc::new(RowBudget::new(options.row_memory_bytes));
        let recent = Arc::new(RecentLookUps::new());
        let directory =
            Attributes { mode: options.directory_mode, uid: options.uid, gid: options.gid, ..Attributes::default() };
        Self {
            store: Arc::new(store),
            inodes: InodeTable::new(options.inode_limit),
            options,
            handles: HandleTable::new(),
            _relief: AbortOnDropHandle::new(tokio::spawn(sessions.clone().relieve(budget.clone()))),
            _letting_go: AbortOnDropHandle::new(tokio::spawn(recent.clone().let_go())),
            recent,
            sessions,
            budget,
            capacity: AsyncMutex::new(None),
            directory: Mutex::new(directory),
            lost_files: Mutex::new(Vec::new()),
            kernel,
        }
    }

    /// Tells who keeps names in memory. Only the first call counts.
    pub fn set_name_cache(&self, cache: Arc<dyn NameCache>) {
        self.kernel.set_kernel(cache);
    }

    /// Room in the cluster, not older than a second.
    pub async fn capacity(&self) -> Result<Capacity, FsError> {
        let mut known = self.capacity.lock().await;
        match *known {
            Some((at, capacity)) if at.elapsed() < CAPACITY_AGE => Ok(capacity),
            _ => {
                let capacity = self.store.capacity().await?;
                *known = Some((Instant::now(), capacity));
                Ok(capacity)
            }
        }
    }

    /// What `stat` shows of the directory.
    pub fn directory(&self) -> FileAttributes {
        let attributes = *self.directory.lock();
        FileAttributes {
            inode: Inode::ROOT,
            shown_inode: Inode::ROOT,
            size_bytes: 0,
            attributes,
            has_name: true,
            is_committed: true,
            is_followed: false,
        }
    }

    /// Inodes that the kernel has.
    pub fn inode_count(&self) -> usize {
        self.inodes.count()
    }

    /// What `key` points at, as far as is known; else the store is asked.
    async fn entry(&self, key: &Key) -> Result<Option<KeyEntry>, ClientError> {
        match self.store.known_entry(key) {
            Some(known) => Ok(Some(known)),
            None => self.store.entry(key).await,
        }
    }

    fn forget_name(&self, key: &Key) {
        if let (Some(cache), Some(name)) = (self.kernel.kernel(), super::file_name::name_of(key)) {
            cache.forget_name(&name);
        }
    }

    /// Asks the kernel to forget an inode for each new one above the limit.
    fn limit_inodes(&self) {
        if let Some(key) = self.inodes.surplus() {
            self.forget_name(&key);
        }
    }
}

/// A key that was re-pointed or removed before anything was written to it is no failure: the operation goes to what
/// is there now.
fn look_again(error: FsError) -> FsError {
    match error {
        FsError::Store(ClientError::KeyChanged { .. } | ClientError::KeyNotFound { .. }) => FsError::LookAgain,
        FsError::Store(ClientError::KeyExists { .. }) => FsError::Exists,
        other => other,
    }
}
