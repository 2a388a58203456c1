//! When a session commits, and under which key.

use std::sync::Arc;

use cairn_codec::Layout;
use cairn_proto::ids::BlobId;
use cairn_proto::records::Key;

use super::{BlobCommit, BlobStore, FsError, Precondition, SessionState};

impl<S: BlobStore> SessionState<S> {
    /// Commits what is new, except a file that nobody asked for by more than opening it. `killed_by` is the
    /// signal that ends the process that closes the file.
    ///
    /// Before it returns success, every byte written is durable on its nodes and the key on a majority of masters.
    pub(in super::super) async fn flush(&mut self, killed_by: u32) -> Result<(), FsError> {
        if self.contents.size_bytes() == 0 && !self.is_deliberate {
            return self.check();
        }
        self.commit(killed_by).await
    }

    /// As [`SessionState::flush`], for an empty file too.
    pub(in super::super) async fn sync(&mut self) -> Result<(), FsError> {
        self.is_deliberate = true;
        self.commit(0).await
    }

    /// Commits what is new.
    pub(in super::super) async fn commit(&mut self, killed_by: u32) -> Result<(), FsError> {
        self.check()?;
        if self.is_unlinked || !self.is_dirty {
            return Ok(());
        }
        self.is_changing = true;
        let committed = self.commit_new(killed_by).await;
        self.settle(committed).await
    }

    async fn commit_new(&mut self, killed_by: u32) -> Result<(), FsError> {
        let frozen = self.contents.freeze(&self.target).await?;
        let sealed = frozen.sealed.clone();
        let commit = BlobCommit {
            key: self.target.key.clone(),
            precondition: self.target.precondition,
            blob: BlobId::generate(),
            extents: frozen.extents,
            sealed: frozen.sealed,
            size_bytes: frozen.size_bytes,
            digest: frozen.digest,
            attributes: self.attributes,
            writer_killed_by_signal: killed_by,
        };
        let blob = commit.blob;
        if let Err(error) = self.store.commit(commit).await {
            if let Some(sealed) = &sealed {
                self.store.discard(sealed).await;
            }
            return Err(error.into());
        }
        self.contents.committed(blob);
        self.committed = Some(blob);
        self.target.precondition = Precondition::Blob(blob);
        self.shadows = false;
        self.is_dirty = false;
        Ok(())
    }

    /// Nobody writes any more: keeps what describes the last commit, gives memory and segment back.
    pub(in super::super) async fn rest(&mut self) {
        if self.failure.is_some() || self.is_dirty {
            self.contents.abandon().await;
        } else {
            self.contents.abort_segment().await;
            self.contents.rest();
        }
    }

    /// Whether the store has the file exactly as it is here.
    pub(in super::super) fn is_settled(&self) -> bool {
        self.check().is_ok() && !self.is_dirty && !self.is_unlinked && self.committed.is_some()
    }

    /// Makes a session that is over ready to be written again, if the key still leads to its last commit.
    pub(in super::super) async fn reopen(&mut self, layout: Option<Layout>) -> Result<(), FsError> {
        if !self.is_settled() {
            return Err(FsError::LookAgain);
        }
        self.open_segment(layout).await?;
        self.is_deliberate = false;
        Ok(())
    }

    /// Opens a segment for what is written next, so that what stands against writing shows now. `layout`: of a
    /// file that has no bytes yet.
    pub(in super::super) async fn open_segment(&mut self, layout: Option<Layout>) -> Result<(), FsError> {
        if !self.contents.has_segment() && !self.is_unlinked {
            let layout = self.contents.fixed_layout().or(layout);
            let segment = self.store.begin(&self.target.key, self.target.precondition, layout).await?;
            self.contents.adopt(segment);
        }
        Ok(())
    }

    /// The blob of the last commit, or that the session was opened over, and the key that leads to it.
    pub(in super::super) fn last_commit(&self) -> Option<(Key, BlobId)> {
        self.committed.map(|blob| (self.target.key.clone(), blob))
    }

    /// The blob of the last commit, held open so that it outlives its key.
    pub(in super::super) async fn hold_committed(&mut self) -> Result<Option<Arc<S::Blob>>, FsError> {
        self.check()?;
        self.contents.hold_source(&self.target).await
    }

    /// Keeps what is committed readable for handles that are open, although its key is about to go.
    pub(in super::super) async fn outlive_name(&mut self) {
        if self.check().is_ok()
            && let Err(error) = self.contents.hold_source(&self.target).await
        {
            // Reads of sealed rows will fail on their own, and say why.
            tracing::debug!(key = %self.target.key, %error, "the blob of a file that loses its name cannot be kept");
        }
    }

    /// The name is gone: nothing of this file is ever committed again.
    pub(in super::super) fn mark_unlinked(&mut self) {
        self.is_unlinked = true;
    }

    /// Whether no name leads to the file.
    pub(in super::super) const fn is_unlinked(&self) -> bool {
        self.is_unlinked
    }

    /// Whether a rename or deletion of the key must be done in the store.
    pub(in super::super) fn is_in_store(&self) -> bool {
        self.committed.is_some() || self.shadows
    }

    /// Whether the store has older bytes under the key.
    pub(in super::super) fn is_ahead_of_store(&self) -> bool {
        self.is_in_store() && self.is_dirty
    }

    /// The next commit points `key` at the file, with `precondition` unless that of the last commit still holds.
    /// `shadows`: the store has something else under `key` until then.
    pub(in super::super) fn bind(&mut self, key: Key, precondition: Option<Precondition>, shadows: bool) {
        self.target.key = key;
        self.shadows = shadows;
        if let Some(precondition) = precondition {
            self.target.precondition = precondition;
        }
    }
}
