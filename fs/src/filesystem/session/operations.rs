//! Reading, writing and changing the attributes of a session.

use std::sync::Arc;

use bytes::Bytes;

use super::{AttributeChange, BlobStore, ClientError, FsError, SessionState, touched, without_privileges};

impl<S: BlobStore> SessionState<S> {
    /// Writes at `offset`, or at the end; answers with nothing but the first failure once there was one.
    pub(in super::super) async fn write(
        &mut self,
        offset: Option<u64>,
        data: Bytes,
        drops_privileges: bool,
    ) -> Result<(), FsError> {
        self.check()?;
        if data.is_empty() {
            return Ok(());
        }
        let offset = offset.unwrap_or_else(|| self.contents.size_bytes());
        self.contents.check_size(offset.saturating_add(data.len() as u64))?;
        self.contents.check_hole(offset)?;
        if drops_privileges {
            self.attributes = without_privileges(self.attributes);
        }
        self.begin_change();
        let written = self.contents.write(&self.target, offset, data).await;
        self.end_change(written).await
    }

    /// Makes an empty file a copy of `blob` that shares its rows; `false`: it is not empty, and nothing was done.
    pub(in super::super) async fn share(
        &mut self,
        blob: Arc<S::Blob>,
        drops_privileges: bool,
    ) -> Result<bool, FsError> {
        self.check()?;
        if self.contents.size_bytes() != 0 {
            return Ok(false);
        }
        if drops_privileges {
            self.attributes = without_privileges(self.attributes);
        }
        self.begin_change();
        self.contents.share(blob).await;
        self.end_change(Ok(())).await?;
        Ok(true)
    }

    /// Changes the length. An explicit wish: an empty file is then committed at its next flush.
    pub(in super::super) async fn resize(&mut self, size_bytes: u64) -> Result<(), FsError> {
        self.check()?;
        self.is_deliberate = true;
        self.set_size(size_bytes).await
    }

    /// Empties the file, as opening it with `O_TRUNC` does.
    pub(in super::super) async fn truncate_at_open(&mut self) -> Result<(), FsError> {
        self.check()?;
        self.set_size(0).await
    }

    async fn set_size(&mut self, size_bytes: u64) -> Result<(), FsError> {
        self.contents.check_size(size_bytes)?;
        self.contents.check_hole(size_bytes)?;
        if size_bytes == self.contents.size_bytes() {
            return Ok(());
        }
        self.begin_change();
        let resized = self.contents.resize(&self.target, size_bytes).await;
        self.end_change(resized).await
    }

    /// Reads what was written so far.
    pub(in super::super) async fn read(&mut self, offset: u64, length: usize) -> Result<Bytes, FsError> {
        self.check()?;
        self.contents.read(&self.target, offset, length).await
    }

    /// Changes attributes: at once where the store has the file as it is, else with the next commit.
    pub(in super::super) async fn change_attributes(&mut self, change: &AttributeChange) -> Result<(), FsError> {
        self.check()?;
        let attributes = change.applied_to(self.attributes);
        if let Some(blob) = self.committed.filter(|_| !self.is_dirty && !self.is_unlinked) {
            self.store.set_attributes(&self.target.key, blob, attributes).await?;
        }
        self.is_deliberate = true;
        self.attributes = attributes;
        Ok(())
    }

    /// Gives up what is not committed, for a signal killed the writer.
    pub(in super::super) async fn give_up(&mut self, signal: u32) -> Result<(), FsError> {
        self.check()?;
        if self.is_unlinked || !self.is_dirty {
            return Ok(());
        }
        Err(self.fail(FsError::WriterKilled { signal }).await)
    }

    /// Sends the row in memory away if the memory is wanted elsewhere.
    pub(in super::super) async fn shed(&mut self) -> Result<(), FsError> {
        self.check()?;
        // Nothing of the bytes changes, only where they are; the state is unusable all the same if it breaks off.
        self.is_changing = true;
        let shed = self.contents.shed(&self.target).await;
        self.settle(shed).await
    }

    /// Whether shedding would give memory back.
    pub(in super::super) fn holds_memory(&self) -> bool {
        self.failure.is_none() && self.contents.holds_memory()
    }

    /// The first failure, if there was one.
    pub(in super::super) fn check(&self) -> Result<(), FsError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.is_changing { Err(FsError::Unfinished) } else { Ok(()) }
    }

    pub(super) fn begin_change(&mut self) {
        self.is_changing = true;
        self.is_dirty = true;
    }

    async fn end_change(&mut self, result: Result<(), FsError>) -> Result<(), FsError> {
        self.attributes = touched(self.attributes);
        self.settle(result).await
    }

    /// Ends an operation: its failure stays, and what was written is given up.
    pub(super) async fn settle<T>(&mut self, result: Result<T, FsError>) -> Result<T, FsError> {
        self.is_changing = false;
        match result {
            Ok(value) => Ok(value),
            Err(error) => Err(self.fail(error).await),
        }
    }

    async fn fail(&mut self, error: FsError) -> FsError {
        let error = match error {
            // Whatever the master calls it: the key is no longer what it was when this file was opened.
            FsError::Store(ClientError::KeyChanged { key } | ClientError::KeyNotFound { key }) => {
                FsError::Replaced { key }
            }
            other => other,
        };
        self.failure = Some(error.clone());
        self.contents.abandon().await;
        error
    }
}
