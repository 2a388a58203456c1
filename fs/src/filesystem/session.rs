//! A write session: one file being written on this mount, from its opening to the release of its last writable
//! handle. Which commit happens when is decided here; the bytes are in [`Contents`].

mod commits;
mod handle_counts;
mod operations;

use std::sync::Arc;

use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Key};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard};

use super::attributes::{AttributeChange, FileAttributes, touched, without_privileges};
use super::blob_store::BlobStore;
use super::contents::{Contents, Target};
use super::{FsError, Inode, Pages};
use crate::client::{BlobCommit, ClientError, Precondition};
use handle_counts::HandleCounts;

/// A file being written. Every handle of its inode on this mount sees it.
pub(super) struct Session<S: BlobStore> {
    inode: Inode,
    opened_over: Option<Inode>,
    state: AsyncMutex<SessionState<S>>,
    glance: Mutex<Glance>,
    handles: Mutex<HandleCounts>,
}

/// What may be asked while an operation runs.
#[derive(Debug, Clone)]
struct Glance {
    size_bytes: u64,
    attributes: Attributes,
    key: Key,
    has_name: bool,
    has_failed: bool,
}

/// All that changes while a file is written.
///
/// The flags are independent facts, each of which another operation asks for.
#[allow(clippy::struct_excessive_bools)]
pub(super) struct SessionState<S: BlobStore> {
    store: Arc<S>,
    contents: Contents<S>,
    target: Target,
    attributes: Attributes,
    /// The blob that holds these contents as of the last commit, or that the session was opened over.
    committed: Option<BlobId>,
    /// Whether the key led somewhere else in the store when the session was opened, and still does.
    shadows: bool,
    /// Whether the bytes differ from the last commit's.
    is_dirty: bool,
    /// Whether somebody asked for the file by more than opening it, so that its first flush commits it even empty.
    is_deliberate: bool,
    is_unlinked: bool,
    /// The first failure: it stays.
    failure: Option<FsError>,
    /// An operation that changes the bytes has begun and not ended.
    is_changing: bool,
}

/// How a session comes to be.
pub(super) struct Opening<S: BlobStore> {
    pub(super) store: Arc<S>,
    pub(super) contents: Contents<S>,
    pub(super) key: Key,
    pub(super) precondition: Precondition,
    pub(super) attributes: Attributes,
    /// The committed file whose name it has.
    pub(super) opened_over: Option<Inode>,
    pub(super) committed: Option<BlobId>,
    pub(super) shadows: bool,
}

impl<S: BlobStore> Session<S> {
    pub(super) fn new(inode: Inode, opening: Opening<S>) -> Self {
        let Opening { store, contents, key, precondition, attributes, opened_over, committed, shadows } = opening;
        let glance = Glance {
            size_bytes: contents.size_bytes(),
            attributes,
            key: key.clone(),
            has_name: true,
            has_failed: false,
        };
        let state = SessionState {
            store,
            contents,
            target: Target { key, precondition },
            attributes,
            committed,
            shadows,
            is_dirty: committed.is_none(),
            is_deliberate: false,
            is_unlinked: false,
            failure: None,
            is_changing: false,
        };
        Self {
            inode,
            opened_over,
            state: AsyncMutex::new(state),
            glance: Mutex::new(glance),
            handles: Mutex::new(HandleCounts::default()),
        }
    }

    pub(super) const fn inode(&self) -> Inode {
        self.inode
    }

    /// The key that the next commit points at the file.
    pub(super) fn key(&self) -> Key {
        self.glance.lock().key.clone()
    }

    /// What `stat` shows, without waiting for an operation that runs.
    pub(super) fn file_attributes(&self) -> FileAttributes {
        let glance = self.glance.lock();
        FileAttributes {
            inode: self.inode,
            shown_inode: self.opened_over.unwrap_or(self.inode),
            size_bytes: glance.size_bytes,
            attributes: glance.attributes,
            has_name: glance.has_name,
            is_committed: false,
            is_followed: false,
        }
    }

    /// Whether it failed: handles get its failure, and its name leads to what is committed.
    pub(super) fn has_failed(&self) -> bool {
        self.glance.lock().has_failed
    }

    /// Counts one more writable handle, of `caller`; false if the session is over.
    pub(super) fn add_writer(&self, caller: u32) -> bool {
        let mut handles = self.handles.lock();
        if !handles.is_over {
            handles.writers += 1;
            handles.arrive(caller);
            handles.was_opened = true;
        }
        !handles.is_over
    }

    /// Counts one writable handle less; true if it was the last.
    pub(super) fn remove_writer(&self) -> bool {
        let mut handles = self.handles.lock();
        handles.writers = handles.writers.saturating_sub(1);
        handles.leave();
        handles.writers == 0
    }

    /// Counts one more handle that only reads; false if the session is over.
    pub(super) fn add_reader(&self, caller: u32) -> bool {
        let mut handles = self.handles.lock();
        if !handles.is_over {
            handles.readers += 1;
            handles.arrive(caller);
        }
        !handles.is_over
    }

    /// Expects `caller`, who was told to look the name up again; `None` if the session is over.
    pub(super) fn expect_caller(&self, caller: u32) -> Option<u64> {
        let mut handles = self.handles.lock();
        if handles.is_over {
            return None;
        }
        Some(handles.expect(caller))
    }

    /// The caller with this ticket has come or will not.
    pub(super) fn stop_expecting(&self, ticket: u64) {
        self.handles.lock().stop_expecting(ticket);
    }

    /// Counts one handle less that only reads.
    pub(super) fn remove_reader(&self) {
        let mut handles = self.handles.lock();
        handles.readers = handles.readers.saturating_sub(1);
        handles.leave();
    }

    /// How the kernel is to treat the pages of a handle that was counted just now: as those of the first one.
    pub(super) fn pages(&self, only_writes: bool) -> Pages {
        self.handles.lock().pages(only_writes)
    }

    /// Whether a handle reads.
    pub(super) fn has_readers(&self) -> bool {
        self.handles.lock().readers > 0
    }

    /// Whether anybody ever wrote.
    pub(super) fn was_opened(&self) -> bool {
        self.handles.lock().was_opened
    }

    /// Whether a handle writes.
    pub(super) fn has_writers(&self) -> bool {
        self.handles.lock().writers > 0
    }

    pub(super) fn is_over(&self) -> bool {
        self.handles.lock().is_over
    }

    /// Ends the session, unless somebody writes or is about to come.
    pub(super) fn end_if_unused(&self) -> bool {
        let mut handles = self.handles.lock();
        if handles.is_unused() {
            handles.is_over = true;
        }
        handles.is_over
    }

    /// Ends the session, whoever writes.
    pub(super) fn end(&self) {
        self.handles.lock().is_over = true;
    }

    /// Opens a session again that was over.
    pub(super) fn revive(&self) {
        self.handles.lock().is_over = false;
    }

    /// The state, once no other operation uses it.
    pub(super) async fn lock(&self) -> Locked<'_, S> {
        Locked { state: self.state.lock().await, session: self }
    }

    /// The state, if no other operation uses it.
    pub(super) fn try_lock(&self) -> Option<Locked<'_, S>> {
        Some(Locked { state: self.state.try_lock().ok()?, session: self })
    }
}

/// A session that one operation has to itself. What others may see of it is brought up to date at its end.
pub(super) struct Locked<'a, S: BlobStore> {
    state: MutexGuard<'a, SessionState<S>>,
    session: &'a Session<S>,
}

impl<S: BlobStore> std::ops::Deref for Locked<'_, S> {
    type Target = SessionState<S>;

    fn deref(&self) -> &SessionState<S> {
        &self.state
    }
}

impl<S: BlobStore> std::ops::DerefMut for Locked<'_, S> {
    fn deref_mut(&mut self) -> &mut SessionState<S> {
        &mut self.state
    }
}

impl<S: BlobStore> Drop for Locked<'_, S> {
    fn drop(&mut self) {
        *self.session.glance.lock() = Glance {
            size_bytes: self.state.contents.size_bytes(),
            attributes: self.state.attributes,
            key: self.state.target.key.clone(),
            has_name: !self.state.is_unlinked,
            has_failed: self.state.check().is_err(),
        };
    }
}
