//! Reading, writing and committing through handles.

use bytes::Bytes;

use super::FileSystem;
use crate::filesystem::FsError;
use crate::filesystem::blob_store::{BlobStore, OpenBlob};
use crate::filesystem::handle_table::Handle;
use crate::filesystem::killed_writer::signal_ending;
use crate::filesystem::options::KilledWriter;

impl<S: BlobStore> FileSystem<S> {
    /// Bytes `[offset, offset + length)` of an open file, cut off at its end.
    pub async fn read(&self, handle: u64, offset: u64, length: usize) -> Result<Bytes, FsError> {
        match self.handles.get(handle)?.as_ref() {
            Handle::Blob(blob) => Ok(blob.read(offset, length).await?),
            Handle::Session { session, .. } => {
                let read = session.lock().await.read(offset, length).await;
                self.budget.at_rest();
                read
            }
            Handle::Directory(_) => Err(FsError::IsDirectory),
        }
    }

    /// Writes at `offset`, or at the end if the handle was opened to append. `drops_privileges`: the writer may not
    /// keep the file's set-user-id bit.
    pub async fn write(&self, handle: u64, offset: u64, data: Bytes, drops_privileges: bool) -> Result<(), FsError> {
        let handle = self.handles.get(handle)?;
        let Handle::Session { session, writes: true, appends } = handle.as_ref() else {
            return Err(FsError::BadHandle);
        };
        let offset = (!appends).then_some(offset);
        let written = session.lock().await.write(offset, data, drops_privileges).await;
        self.budget.at_rest();
        written
    }

    /// Commits what was written, as one of possibly many descriptors of the handle closes in process `pid`.
    ///
    /// Success means that it is durable and visible everywhere, except a file that is still empty because nobody
    /// has written to it yet.
    pub async fn flush(&self, handle: u64, pid: u32) -> Result<(), FsError> {
        let handle = self.handles.get(handle)?;
        let Handle::Session { session, writes: true, .. } = handle.as_ref() else { return Ok(()) };
        let signal = signal_ending(pid);
        let mut state = session.lock().await;
        let flushed = match (signal, self.options.killed_writer) {
            (0, _) => state.flush(0).await,
            (signal, KilledWriter::Commits) => {
                tracing::warn!(key = %session.key(), pid, signal, "the writer was killed; what it wrote is committed");
                state.flush(signal).await
            }
            (signal, KilledWriter::Aborts) => state.give_up(signal).await,
        };
        drop(state);
        self.budget.at_rest();
        flushed
    }

    /// Commits what was written, also an empty file.
    ///
    /// Success means that it is durable and visible everywhere.
    pub async fn sync(&self, handle: u64) -> Result<(), FsError> {
        let handle = self.handles.get(handle)?;
        let Handle::Session { session, writes: true, .. } = handle.as_ref() else { return Ok(()) };
        let synced = session.lock().await.sync().await;
        self.budget.at_rest();
        synced
    }
}
