//! Reading and changing attributes.

use std::sync::Arc;

use cairn_proto::records::{Key, KeyEntry};

use super::{FileSystem, look_again};
use crate::filesystem::attributes::{AttributeChange, FileAttributes};
use crate::filesystem::blob_store::{BlobStore, OpenBlob};
use crate::filesystem::extended_attributes;
use crate::filesystem::inode_table::Node;
use crate::filesystem::session::Session;
use crate::filesystem::{FsError, Inode};

/// An operation that opens a file for itself is nobody who was told to look again.
const NO_CALLER: u32 = u32::MAX;

impl<S: BlobStore> FileSystem<S> {
    /// What `stat` shows of an inode. One whose key leads elsewhere now keeps what was last known of it.
    pub async fn attributes(&self, inode: Inode) -> Result<FileAttributes, FsError> {
        if inode == Inode::ROOT {
            return Ok(self.directory());
        }
        let stamp = self.kernel.stamp();
        match self.inodes.get(inode).ok_or(FsError::LookAgain)? {
            Node::Session(session) => Ok(session.file_attributes()),
            Node::Committed { key, entry } => {
                let current = self.entry(&key).await?.filter(|current| current.blob == entry.blob);
                if let Some(current) = current {
                    self.inodes.update(inode, current);
                }
                let file = FileAttributes::of_entry(&current.unwrap_or(entry))?;
                let has_name = current.is_some();
                Ok(FileAttributes { has_name, is_followed: has_name && self.kernel.is_told_since(stamp), ..file })
            }
        }
    }

    /// Changes attributes, the length included.
    pub async fn change(&self, inode: Inode, change: AttributeChange) -> Result<FileAttributes, FsError> {
        if inode == Inode::ROOT {
            return self.change_directory(&change);
        }
        match self.inodes.get(inode).ok_or(FsError::LookAgain)? {
            Node::Session(session) => self.change_session(&session, &change).await,
            Node::Committed { key, entry } => self.change_committed(inode, &key, entry, &change).await,
        }
    }

    /// The directory is no key: what is changed of it lasts as long as the mount.
    fn change_directory(&self, change: &AttributeChange) -> Result<FileAttributes, FsError> {
        if change.size_bytes.is_some() {
            return Err(FsError::IsDirectory);
        }
        {
            let mut attributes = self.directory.lock();
            *attributes = change.applied_to(*attributes);
        }
        Ok(self.directory())
    }

    /// An extended attribute of the last commit of a file.
    pub async fn extended_attribute(&self, inode: Inode, name: &str) -> Result<String, FsError> {
        if inode == Inode::ROOT || !extended_attributes::NAMES.contains(&name) {
            return Err(FsError::NoAttribute);
        }
        let last_commit = match self.inodes.get(inode).ok_or(FsError::LookAgain)? {
            Node::Session(session) => session.lock().await.last_commit(),
            Node::Committed { key, entry } => Some((key, entry.blob)),
        };
        let (key, blob) = last_commit.ok_or(FsError::NoAttribute)?;
        // Looked up anew each time: nodes come and go.
        let found = self.store.open(&key).await?.filter(|found| found.entry().blob == blob);
        found.and_then(|found| extended_attributes::value(name, &found)).ok_or(FsError::NoAttribute)
    }

    async fn change_session(
        &self,
        session: &Arc<Session<S>>,
        change: &AttributeChange,
    ) -> Result<FileAttributes, FsError> {
        // Counts as a writer, so that the change is committed if nobody else is there to do it.
        let is_writer = session.add_writer(NO_CALLER);
        let changed = self.change_locked(session, change, is_writer).await;
        if is_writer && session.remove_writer() {
            self.finish(session).await;
        }
        self.budget.at_rest();
        changed.map(|()| session.file_attributes())
    }

    async fn change_locked(
        &self,
        session: &Session<S>,
        change: &AttributeChange,
        is_writer: bool,
    ) -> Result<(), FsError> {
        let mut state = session.lock().await;
        if !is_writer && (change.size_bytes.is_some() || !state.is_settled()) {
            return Err(FsError::LookAgain);
        }
        if let Some(size_bytes) = change.size_bytes {
            state.resize(size_bytes).await?;
        }
        if change.changes_attributes() {
            state.change_attributes(change).await.map_err(look_again)?;
        }
        Ok(())
    }

    async fn change_committed(
        &self,
        inode: Inode,
        key: &Key,
        entry: KeyEntry,
        change: &AttributeChange,
    ) -> Result<FileAttributes, FsError> {
        if self.sessions.bound(key).is_some() {
            return Err(FsError::LookAgain);
        }
        if let Some(size_bytes) = change.size_bytes.filter(|size_bytes| *size_bytes != entry.size_bytes) {
            self.resize_committed(key, size_bytes).await?;
            // The bytes have another inode from now on; there the length is right already.
            return Err(FsError::LookAgain);
        }
        let attributes = change.applied_to(entry.attributes);
        let changed = self.store.set_attributes(key, entry.blob, attributes).await;
        let entry = changed.map_err(|error| look_again(error.into()))?;
        self.inodes.update(inode, entry);
        self.kernel.entry_changed();
        FileAttributes::of_entry(&entry)
    }

    async fn resize_committed(&self, key: &Key, size_bytes: u64) -> Result<(), FsError> {
        let session = self.begin_over(key, size_bytes == 0).await?;
        if !session.add_writer(NO_CALLER) {
            return Err(FsError::LookAgain);
        }
        let resized = {
            let mut state = session.lock().await;
            match state.resize(size_bytes).await {
                Ok(()) => state.commit(0).await,
                Err(error) => Err(error),
            }
        };
        if session.remove_writer() {
            self.finish(&session).await;
        }
        resized
    }
}
