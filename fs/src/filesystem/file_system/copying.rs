//! Copying a file within the directory.

use std::sync::Arc;

use super::FileSystem;
use crate::filesystem::FsError;
use crate::filesystem::blob_store::{BlobStore, OpenBlob};
use crate::filesystem::handle_table::Handle;

/// Bytes of two open files.
#[derive(Debug, Clone, Copy)]
pub struct CopyRange {
    /// Handle of the file to read.
    pub from: u64,
    /// First byte there.
    pub from_offset: u64,
    /// Handle of the file to write.
    pub to: u64,
    /// First byte there.
    pub to_offset: u64,
    /// Bytes to copy; fewer, if the file ends before.
    pub length: u64,
}

impl<S: BlobStore> FileSystem<S> {
    /// Copies a whole committed file into an empty one, which shares its rows, and answers how many bytes that makes.
    /// `None` where that cannot be: whoever asks reads and writes the bytes then.
    pub async fn copy(&self, range: CopyRange, drops_privileges: bool) -> Result<Option<u64>, FsError> {
        let Some(blob) = self.committed_whole(range.from).await? else { return Ok(None) };
        let size_bytes = blob.entry().size_bytes;
        if size_bytes == 0 {
            return Ok(Some(0));
        }
        let target = self.handles.get(range.to)?;
        let Handle::Session { session, writes: true, .. } = target.as_ref() else { return Err(FsError::BadHandle) };
        let is_whole = range.from_offset == 0 && range.to_offset == 0 && range.length >= size_bytes;
        let is_shared = is_whole && session.lock().await.share(blob, drops_privileges).await?;
        Ok(is_shared.then_some(size_bytes))
    }

    /// The blob that has all bytes of an open file; `None` while there are others in memory.
    async fn committed_whole(&self, handle: u64) -> Result<Option<Arc<S::Blob>>, FsError> {
        match self.handles.get(handle)?.as_ref() {
            Handle::Blob(blob) => Ok(Some(Arc::clone(blob))),
            Handle::Session { session, .. } => {
                let mut session = session.lock().await;
                if session.is_settled() { session.hold_committed().await } else { Ok(None) }
            }
            Handle::Directory(_) => Err(FsError::IsDirectory),
        }
    }
}
