//! Releasing handles, and what is left when the mount ends.

use std::sync::Arc;

use cairn_proto::records::Key;

use super::FileSystem;
use crate::filesystem::FsError;
use crate::filesystem::blob_store::BlobStore;
use crate::filesystem::handle_table::Handle;
use crate::filesystem::session::Session;

/// Files kept in [`FileSystem::lost_files`]: the latest.
const LOST_FILE_LIMIT: usize = 1000;

/// A file whose last bytes could not be committed when nobody was there any more to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostFile {
    /// Its key.
    pub key: Key,
    /// Why.
    pub error: FsError,
}

/// What became of the files that were still being written when the mount ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Drained {
    /// Files that were committed as they were.
    pub committed: usize,
    /// Files whose last bytes are lost, those of earlier releases included.
    pub lost: Vec<LostFile>,
}

impl<S: BlobStore> FileSystem<S> {
    /// Closes a handle. The last one that writes commits what is left; nobody can be told of a failure, so that it
    /// is logged and kept in [`FileSystem::lost_files`].
    pub async fn release(&self, handle: u64) -> Result<(), FsError> {
        match self.handles.remove(handle)?.as_ref() {
            Handle::Session { session, writes: true, .. } => {
                if session.remove_writer() {
                    self.finish(session).await;
                }
            }
            Handle::Session { session, writes: false, .. } => {
                session.remove_reader();
                if session.was_opened() && !session.has_readers() && !session.is_over() {
                    self.finish(session).await;
                }
            }
            Handle::Blob(_) => {}
            Handle::Directory(_) => return Err(FsError::IsDirectory),
        }
        Ok(())
    }

    /// Files whose last bytes could not be committed at their release.
    pub fn lost_files(&self) -> Vec<LostFile> {
        self.lost_files.lock().clone()
    }

    /// Commits every file that is still being written. No operation may follow.
    pub async fn drain(&self) -> Drained {
        let mut committed = 0;
        for session in self.sessions.live() {
            let was_written = session.has_writers();
            session.end();
            let lost = self.lost_files.lock().len();
            self.close_session(&session).await;
            committed += usize::from(was_written && self.lost_files.lock().len() == lost);
        }
        Drained { committed, lost: self.lost_files() }
    }

    /// Ends a session that nobody writes any more.
    pub(super) async fn finish(&self, session: &Arc<Session<S>>) {
        if !session.has_writers() {
            self.close_session(session).await;
        }
    }

    async fn close_session(&self, session: &Arc<Session<S>>) {
        let mut state = session.lock().await;
        if state.is_unlinked() && session.has_readers() && !session.is_over() {
            // Without a name it lives as long as anybody has it open.
            return;
        }
        // A session that nobody came to open was emptied by nobody.
        if state.check().is_ok() && session.was_opened() {
            if let Err(error) = state.commit(0).await {
                self.lose(session.key(), error);
            } else if session.has_readers() {
                state.outlive_name().await;
            }
        }
        if !session.end_if_unused() && !session.is_over() {
            // Somebody opened it again in the meantime.
            return;
        }
        state.rest().await;
        let key = session.key();
        // Within the lock: who waits for a session that ends finds its name free.
        self.sessions.remove(session);
        drop(state);
        self.budget.at_rest();
        self.forget_name(&key);
    }

    fn lose(&self, key: Key, error: FsError) {
        tracing::error!(%key, %error, errno = %error.errno(), "a closed file could not be committed; its last bytes are lost");
        let mut lost = self.lost_files.lock();
        if lost.len() == LOST_FILE_LIMIT {
            lost.remove(0);
        }
        lost.push(LostFile { key, error });
    }
}
