//! Operations on names: looking up, listing, removing and renaming.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Instant;

use cairn_proto::records::{Key, KeyEntry};

use super::FileSystem;
use crate::client::{ClientError, Precondition};
use crate::filesystem::attributes::FileAttributes;
use crate::filesystem::blob_store::{BlobStore, OpenBlob};
use crate::filesystem::directory_reader::DirectoryReader;
use crate::filesystem::file_name::{escaped_key, key_of};
use crate::filesystem::handle_table::Handle;
use crate::filesystem::inode_table::Node;
use crate::filesystem::listing::{DirectoryEntry, dots};
use crate::filesystem::session::{Locked, Session};
use crate::filesystem::{FsError, Inode};

/// The directory, open for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedDirectory {
    /// Its handle.
    pub handle: u64,
    /// The kernel may keep what is read through it.
    pub caches: bool,
    /// What the kernel kept before is still so.
    pub keeps: bool,
}

impl<S: BlobStore> FileSystem<S> {
    /// The file under `name`, for `caller` (a thread id, or 0). Counts as known to the kernel until
    /// [`FileSystem::forget`].
    pub async fn look_up(&self, name: &OsStr, caller: u32) -> Result<FileAttributes, FsError> {
        let name = key_of(name)?;
        let stamp = self.kernel.stamp();
        if let Some(session) = self.sessions.bound(&name) {
            return Ok(self.inodes.count_session(&session));
        }
        let (found, blob) = self.find(&name).await?;
        // One may have been opened while the store was asked.
        if let Some(session) = self.sessions.bound(&name) {
            return Ok(self.inodes.count_session(&session));
        }
        match found {
            Some(Node::Session(session)) => Ok(self.inodes.count_session(&session)),
            Some(Node::Committed { key, entry }) => {
                let file = self.inodes.count_committed(&key, entry)?;
                self.limit_inodes();
                self.recent.add(caller, file.inode, blob.map(Arc::new), tokio::time::Instant::now());
                // Decided once it is counted: who stops following then finds it in the table.
                Ok(FileAttributes { is_followed: self.kernel.is_told_since(stamp), ..file })
            }
            None => Err(FsError::NotFound),
        }
    }

    /// The caller gives back some of its look-ups of an inode.
    pub fn forget(&self, inode: Inode, lookups: u64) {
        self.inodes.forget(inode, lookups);
    }

    /// Counts an entry of a listing as looked up, and says what is known of it by now.
    pub fn remember(&self, entry: &DirectoryEntry<S>) -> Result<FileAttributes, FsError> {
        match &entry.node {
            Some(Node::Session(session)) => Ok(self.inodes.count_session(session)),
            Some(Node::Committed { key, entry: found }) => {
                let file = self.inodes.count_committed(key, *found)?;
                self.limit_inodes();
                Ok(FileAttributes { is_followed: self.kernel.is_told_since(entry.stamp), ..file })
            }
            None => Ok(entry.file),
        }
    }

    /// Opens the directory.
    pub fn open_directory(&self) -> OpenedDirectory {
        let listing = self.kernel.begin_listing(Instant::now(), self.sessions.has_live());
        let handle = self.handles.add(Handle::Directory(DirectoryReader::new(listing)));
        OpenedDirectory { handle, caches: listing.caches, keeps: listing.keeps }
    }

    /// Entries from `position` on, in key order: some of those that are left, or none at the end. Says whether their
    /// attributes are asked for too.
    pub async fn read_directory(
        &self,
        handle: u64,
        position: u64,
        with_attributes: bool,
    ) -> Result<Vec<DirectoryEntry<S>>, FsError> {
        let handle = self.handles.get(handle)?;
        let Handle::Directory(reader) = handle.as_ref() else { return Err(FsError::NotDirectory) };
        let mut entries = dots(self.directory(), self.kernel.stamp(), position);
        let (files, read) = reader.read(&self.store, &self.sessions, position, with_attributes).await?;
        if let Some(read) = read {
            self.kernel.listing_read(reader.listing(), read);
        }
        entries.extend(files);
        Ok(entries)
    }

    /// Closes the directory.
    pub fn release_directory(&self, handle: u64) -> Result<(), FsError> {
        let handle = self.handles.remove(handle)?;
        let Handle::Directory(reader) = handle.as_ref() else { return Err(FsError::NotDirectory) };
        self.kernel.end_listing(reader.listing());
        Ok(())
    }

    /// Removes a name. A file that is being written under it goes on without a name and is never committed again.
    pub async fn unlink(&self, name: &OsStr) -> Result<(), FsError> {
        let key = self.shown_key(key_of(name)?).await?;
        if let Some(session) = self.sessions.bound(&key) {
            return self.unlink_session(&key, &session).await;
        }
        let deleted = not_found(self.store.delete(&key).await);
        // Also if it failed: the answer may have got lost.
        self.kernel.names_changed();
        deleted
    }

    async fn unlink_session(&self, key: &Key, session: &Arc<Session<S>>) -> Result<(), FsError> {
        let mut state = session.lock().await;
        if session.key() != *key {
            return Err(FsError::LookAgain);
        }
        state.outlive_name().await;
        if state.is_in_store() {
            match self.store.delete(key).await {
                // Someone else was faster: the name is gone as was asked.
                Ok(()) | Err(ClientError::KeyNotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.lose_name(key, session, &mut state);
        Ok(())
    }

    fn lose_name(&self, key: &Key, session: &Session<S>, state: &mut Locked<'_, S>) {
        state.mark_unlinked();
        self.sessions.unbind(key, session);
    }

    /// Renames a file, atomically replacing what is under `to` unless `no_replace`. The next commit of a file that
    /// is being written goes to the new name.
    pub async fn rename(&self, from: &OsStr, to: &OsStr, no_replace: bool) -> Result<(), FsError> {
        let (from, to) = (self.shown_key(key_of(from)?).await?, self.shown_key(key_of(to)?).await?);
        if from == to {
            return if no_replace { Err(FsError::Exists) } else { Ok(()) };
        }
        let no_replace = no_replace || self.store.is_write_once().await?;
        let (moved, replaced) = (self.sessions.bound(&from), self.sessions.bound(&to));
        if no_replace && replaced.is_some() {
            return Err(FsError::Exists);
        }
        let (mut moved_state, mut replaced_state) = lock_both(moved.as_deref(), replaced.as_deref()).await;
        if moved.as_ref().is_some_and(|session| session.key() != from) {
            return Err(FsError::LookAgain);
        }
        if let Some(state) = &mut replaced_state {
            state.outlive_name().await;
        }
        match (&moved, &mut moved_state) {
            (Some(_), Some(state)) => self.rename_session(state, &from, &to, no_replace).await?,
            _ => self.rename_committed(&from, &to, no_replace).await?,
        }
        if let (Some(session), Some(state)) = (&replaced, &mut replaced_state) {
            self.lose_name(&to, session, state);
        }
        if let Some(session) = &moved {
            self.sessions.rebind(&from, &to, session);
        }
        Ok(())
    }

    async fn rename_session(
        &self,
        state: &mut Locked<'_, S>,
        from: &Key,
        to: &Key,
        no_replace: bool,
    ) -> Result<(), FsError> {
        if state.is_ahead_of_store() {
            // The new name must never show the old bytes.
            state.commit(0).await?;
        }
        if state.is_in_store() {
            not_found(self.store.rename(from, to, no_replace).await)?;
            state.bind(to.clone(), None, false);
            return Ok(());
        }
        let shadows = self.store.entry(to).await?.is_some();
        if no_replace && shadows {
            return Err(FsError::Exists);
        }
        let precondition = if no_replace { Precondition::Absent } else { Precondition::None };
        state.bind(to.clone(), Some(precondition), shadows);
        Ok(())
    }

    async fn rename_committed(&self, from: &Key, to: &Key, no_replace: bool) -> Result<(), FsError> {
        let renamed = not_found(self.store.rename(from, to, no_replace).await);
        self.kernel.names_changed();
        renamed?;
        self.inodes.rename(from, to);
        Ok(())
    }

    /// The key that the directory shows under `name`: that of the same text, or one that is shown escaped.
    async fn shown_key(&self, name: Key) -> Result<Key, FsError> {
        let Some(key) = escaped_key(&name) else { return Ok(name) };
        if self.sessions.bound(&name).is_some() || self.store.entry(&name).await?.is_some() {
            return Ok(name);
        }
        let is_shown = self.sessions.bound(&key).is_some() || self.store.entry(&key).await?.is_some();
        Ok(if is_shown { key } else { name })
    }

    /// What `name` stands for in the store: the key of that text, else the key that is shown under it. With its blob, if it
    /// is likely to be opened next and the store was asked for it.
    async fn find(&self, name: &Key) -> Result<(Option<Node<S>>, Option<S::Blob>), FsError> {
        let committed = |key: &Key, entry: KeyEntry| Node::Committed { key: key.clone(), entry };
        let is_asked = self.kernel.is_followed() && self.store.known_entry(name).is_none();
        if is_asked && self.recent.expects_opening() {
            if let Some(blob) = self.store.open(name).await? {
                return Ok((Some(committed(name, blob.entry())), Some(blob)));
            }
        } else if let Some(entry) = self.entry(name).await? {
            return Ok((Some(committed(name, entry)), None));
        }
        let Some(key) = escaped_key(name) else { return Ok((None, None)) };
        if let Some(session) = self.sessions.bound(&key) {
            return Ok((Some(Node::Session(session)), None));
        }
        Ok((self.entry(&key).await?.map(|entry| committed(&key, entry)), None))
    }
}

/// Both states, locked in the order of their inodes, so that two renames cannot wait for each other.
async fn lock_both<'a, S: BlobStore>(
    first: Option<&'a Session<S>>,
    second: Option<&'a Session<S>>,
) -> (Option<Locked<'a, S>>, Option<Locked<'a, S>>) {
    match (first, second) {
        (Some(first), Some(second)) if first.inode() < second.inode() => {
            let first = first.lock().await;
            (Some(first), Some(second.lock().await))
        }
        (Some(first), Some(second)) => {
            let second = second.lock().await;
            (Some(first.lock().await), Some(second))
        }
        (Some(first), None) => (Some(first.lock().await), None),
        (None, Some(second)) => (None, Some(second.lock().await)),
        (None, None) => (None, None),
    }
}

/// A key that is missing in the store is a missing name here.
fn not_found(result: Result<(), ClientError>) -> Result<(), FsError> {
    match result {
        Ok(()) => Ok(()),
        Err(ClientError::KeyNotFound { .. }) => Err(FsError::NotFound),
        Err(ClientError::KeyExists { .. }) => Err(FsError::Exists),
        Err(error) => Err(FsError::Store(error)),
    }
}
