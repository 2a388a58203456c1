//! Opening and creating files.
//!
//! A committed inode is never written, and stands for one version: opening it for writing, or when its key leads
//! elsewhere by now, answers [`FsError::LookAgain`]. The caller (the kernel does so by itself on ESTALE) looks the
//! name up again, once. So that this cannot fail too, however fast others are, a session stays under the key until
//! the caller has come back and opened it.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::records::{Attributes, Key};
use tokio::time::Instant;

use super::{FileSystem, look_again};
use crate::client::Precondition;
use crate::filesystem::attributes::{FileAttributes, new_attributes};
use crate::filesystem::blob_store::{BlobStore, OpenBlob};
use crate::filesystem::contents::Contents;
use crate::filesystem::file_name::key_of;
use crate::filesystem::handle_table::Handle;
use crate::filesystem::inode_table::Node;
use crate::filesystem::session::{Opening, Session};
use crate::filesystem::{FsError, Inode};

/// How long a session waits for a caller that was told to look again.
const CALLER_WAIT: Duration = Duration::from_secs(5);
/// Attempts to keep a session for such a caller, each of which takes another file coming or going in between.
const EXPECT_ATTEMPTS: usize = 16;

/// What a file is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools)]
pub struct OpenMode {
    /// For writing.
    pub writes: bool,
    /// Only for writing: nothing is read or mapped by this handle.
    pub only_writes: bool,
    /// Writes go to the end.
    pub appends: bool,
    /// The file is emptied first.
    pub truncates: bool,
    /// The file must not exist; only for creating.
    pub is_exclusive: bool,
    /// Tells callers apart that were told to look again: a thread id, or 0.
    pub caller: u32,
}

/// An open file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its handle.
    pub handle: u64,
    /// What becomes of the kernel's pages of the file.
    pub pages: Pages,
}

/// Pages of a file in the kernel's memory, from an open on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pages {
    /// Those of earlier opens are still right.
    Kept,
    /// Those of earlier opens are dropped.
    Renewed,
    /// None are used: each write and read is a request.
    Bypassed,
}

/// A file that was created, counted as known to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// The file.
    pub file: FileAttributes,
    /// Its handle.
    pub opened: Opened,
}

impl<S: BlobStore> FileSystem<S> {
    /// Opens a file by its inode.
    pub async fn open(&self, inode: Inode, mode: OpenMode) -> Result<Opened, FsError> {
        if inode == Inode::ROOT {
            return Err(FsError::IsDirectory);
        }
        let Some(node) = self.inodes.get(inode) else { return Err(FsError::LookAgain) };
        let writes = mode.writes || mode.truncates;
        let (key, opened) = match node {
            Node::Session(session) if writes => (session.key(), self.open_session(&session, mode).await),
            Node::Session(session) => (session.key(), self.read_session(session, mode.caller).await),
            Node::Committed { key, .. } if writes => (key, Err(FsError::LookAgain)),
            Node::Committed { key, .. } => {
                let opened = self.open_committed(inode, &key, mode.caller).await;
                (key, opened)
            }
        };
        if opened == Err(FsError::LookAgain) {
            self.expect_caller(&key, mode).await?;
        }
        opened
    }

    /// Creates a file under `name` and opens it for writing.
    pub async fn create(
        &self,
        name: &OsStr,
        permissions: u32,
        owner: (u32, u32),
        mode: OpenMode,
    ) -> Result<Created, FsError> {
        let key = key_of(name)?;
        let session = match self.sessions.bound(&key) {
            Some(_) if mode.is_exclusive => return Err(FsError::Exists),
            Some(session) => session,
            None => {
                let must_be_new = mode.is_exclusive || self.store.is_write_once().await?;
                self.begin_new(&key, new_attributes(permissions, owner.0, owner.1), must_be_new).await?
            }
        };
        let opened = self.open_session(&session, OpenMode { writes: true, ..mode }).await?;
        Ok(Created { file: self.inodes.count_session(&session), opened })
    }

    /// Creates an empty file under `name`, committed when this returns.
    pub async fn make_file(
        &self,
        name: &OsStr,
        permissions: u32,
        owner: (u32, u32),
    ) -> Result<FileAttributes, FsError> {
        let mode = OpenMode { writes: true, is_exclusive: true, ..OpenMode::default() };
        let created = self.create(name, permissions, owner, mode).await?;
        let synced = self.sync(created.opened.handle).await;
        self.release(created.opened.handle).await?;
        synced?;
        Ok(created.file)
    }

    async fn open_committed(&self, inode: Inode, key: &Key, caller: u32) -> Result<Opened, FsError> {
        // What came with the look-up is as new as that was, unless another blob was told of since.
        let known = self.store.known_entry(key).map(|entry| entry.blob);
        let found = self.recent.open(caller, inode, Instant::now()).filter(|blob| Some(blob.entry().blob) == known);
        let blob = match found {
            Some(blob) => blob,
            None => Arc::new(self.store.open(key).await?.ok_or(FsError::LookAgain)?),
        };
        if Inode::of_serial(blob.entry().serial)? != inode {
            return Err(FsError::LookAgain);
        }
        Ok(Opened { handle: self.handles.add(Handle::Blob(blob)), pages: Pages::Kept })
    }

    async fn read_session(&self, session: Arc<Session<S>>, caller: u32) -> Result<Opened, FsError> {
        let is_live = session.add_reader(caller);
        let read = match self.last_commit(&session, is_live).await {
            Ok(Some(blob)) => Handle::Blob(blob),
            Ok(None) => {
                let pages = session.pages(false);
                let handle = Handle::Session { session, writes: false, appends: false };
                return Ok(Opened { handle: self.handles.add(handle), pages });
            }
            Err(error) => {
                self.stop_reading(&session, is_live).await;
                return Err(error);
            }
        };
        self.stop_reading(&session, is_live).await;
        Ok(Opened { handle: self.handles.add(read), pages: Pages::Renewed })
    }

    async fn stop_reading(&self, session: &Arc<Session<S>>, is_live: bool) {
        if is_live {
            session.remove_reader();
            self.finish(session).await;
        }
    }

    /// What a session committed last, if nobody writes it: that is then read as any file is. `None`: the file as
    /// it is being written.
    async fn last_commit(&self, session: &Session<S>, is_live: bool) -> Result<Option<Arc<S::Blob>>, FsError> {
        if is_live && session.has_writers() && !session.has_failed() {
            return Ok(None);
        }
        let mut state = session.lock().await;
        state.check().map_err(|_| FsError::LookAgain)?;
        if is_live && !state.is_settled() {
            return Ok(None);
        }
        if !state.is_settled() {
            return Err(FsError::LookAgain);
        }
        match state.hold_committed().await {
            Ok(blob) => blob.map(Some).ok_or(FsError::LookAgain),
            Err(FsError::Replaced { .. }) => Err(FsError::LookAgain),
            Err(error) => Err(error),
        }
    }

    async fn open_session(&self, session: &Arc<Session<S>>, mode: OpenMode) -> Result<Opened, FsError> {
        if self.store.is_write_once().await? && session.lock().await.is_in_store() {
            return Err(FsError::Exists);
        }
        if !session.add_writer(mode.caller) {
            self.revive(session, mode.caller).await?;
        }
        let joined = self.join_session(session, mode).await;
        if let Err(error) = joined {
            if session.remove_writer() {
                self.finish(session).await;
            }
            return Err(error);
        }
        let handle = Handle::Session { session: session.clone(), writes: true, appends: mode.appends };
        Ok(Opened { handle: self.handles.add(handle), pages: session.pages(mode.only_writes) })
    }

    async fn join_session(&self, session: &Session<S>, mode: OpenMode) -> Result<(), FsError> {
        let mut state = session.lock().await;
        // Its failure belongs to the handles that were open then; the name leads elsewhere by now.
        state.check().map_err(|_| FsError::LookAgain)?;
        state.open_segment(self.options.layout).await.map_err(look_again)?;
        if mode.truncates { state.truncate_at_open().await } else { Ok(()) }
    }

    /// Opens a session again that was over; counts a writer.
    async fn revive(&self, session: &Arc<Session<S>>, caller: u32) -> Result<(), FsError> {
        let mut state = session.lock().await;
        if session.add_writer(caller) {
            return Ok(());
        }
        if self.sessions.bound(&session.key()).is_some() {
            return Err(FsError::LookAgain);
        }
        state.reopen(self.options.layout).await.map_err(look_again)?;
        if !self.sessions.bind(session) {
            state.rest().await;
            return Err(FsError::LookAgain);
        }
        session.revive();
        session.add_writer(caller);
        Ok(())
    }

    /// A session for a new file.
    async fn begin_new(
        &self,
        key: &Key,
        attributes: Attributes,
        is_exclusive: bool,
    ) -> Result<Arc<Session<S>>, FsError> {
        let precondition = if is_exclusive { Precondition::Absent } else { Precondition::None };
        let segment = self.begin(key, precondition, self.options.layout).await?;
        let contents = Contents::empty(self.store.clone(), self.budget.clone(), segment);
        self.open_or_join(Opening {
            store: self.store.clone(),
            contents,
            key: key.clone(),
            precondition,
            attributes,
            opened_over: None,
            committed: None,
            shadows: false,
        })
        .ok_or(FsError::LookAgain)
    }

    /// A session over the committed file under `key`: its bytes, or none.
    pub(super) async fn begin_over(&self, key: &Key, empties: bool) -> Result<Arc<Session<S>>, FsError> {
        if self.store.is_write_once().await? {
            let exists = self.store.entry(key).await?.is_some();
            return Err(if exists { FsError::Exists } else { FsError::LookAgain });
        }
        let opening = if empties { self.replacement(key).await? } else { self.successor(key, true).await? };
        self.open_or_join(opening).ok_or(FsError::LookAgain)
    }

    /// A file that takes the place of the one under `key`, with its attributes.
    async fn replacement(&self, key: &Key) -> Result<Opening<S>, FsError> {
        let entry = self.store.entry(key).await?.ok_or(FsError::LookAgain)?;
        let segment = self.begin(key, Precondition::None, self.options.layout).await?;
        Ok(Opening {
            store: self.store.clone(),
            contents: Contents::empty(self.store.clone(), self.budget.clone(), segment),
            key: key.clone(),
            precondition: Precondition::None,
            attributes: entry.attributes,
            opened_over: Some(Inode::of_serial(entry.serial)?),
            committed: None,
            shadows: true,
        })
    }

    /// A file that begins with the bytes of the one under `key`.
    async fn successor(&self, key: &Key, writes: bool) -> Result<Opening<S>, FsError> {
        let blob = Arc::new(self.store.open(key).await?.ok_or(FsError::LookAgain)?);
        let entry = blob.entry();
        let precondition = Precondition::Blob(entry.blob);
        let mut contents = Contents::of_blob(self.store.clone(), self.budget.clone(), blob);
        if writes {
            let layout = contents.fixed_layout().or(self.options.layout);
            contents.adopt(self.begin(key, precondition, layout).await?);
        }
        Ok(Opening {
            store: self.store.clone(),
            contents,
            key: key.clone(),
            precondition,
            attributes: entry.attributes,
            opened_over: Some(Inode::of_serial(entry.serial)?),
            committed: Some(entry.blob),
            shadows: false,
        })
    }

    async fn begin(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<S::Segment, FsError> {
        self.store.begin(key, precondition, layout).await.map_err(|error| look_again(error.into()))
    }

    fn open_or_join(&self, opening: Opening<S>) -> Option<Arc<Session<S>>> {
        let key = opening.key.clone();
        self.sessions.open(opening).or_else(|| self.sessions.bound(&key))
    }

    /// Keeps a session under `key` for a caller that is told to look the name up again. What stands against
    /// writing shows here.
    async fn expect_caller(&self, key: &Key, mode: OpenMode) -> Result<(), FsError> {
        for _ in 0..EXPECT_ATTEMPTS {
            let session = match self.sessions.bound(key) {
                Some(session) => Ok(session),
                None if mode.writes || mode.truncates => self.begin_over(key, mode.truncates).await,
                None => self
                    .successor(key, false)
                    .await
                    .and_then(|opening| self.open_or_join(opening).ok_or(FsError::LookAgain)),
            };
            match session {
                Ok(session) => {
                    if let Some(ticket) = session.expect_caller(mode.caller) {
                        self.stop_expecting_in_time(session, ticket);
                        return Ok(());
                    }
                    // It is about to end, which frees the name.
                    drop(session.lock().await);
                }
                // Nothing is there, or not what was there a moment ago: the caller will see.
                Err(FsError::LookAgain) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn stop_expecting_in_time(&self, session: Arc<Session<S>>, ticket: u64) {
        let sessions = self.sessions.clone();
        tokio::spawn(async move {
            tokio::time::sleep(CALLER_WAIT).await;
            session.stop_expecting(ticket);
            let mut state = session.lock().await;
            if !session.is_over() && session.end_if_unused() {
                state.rest().await;
                sessions.remove(&session);
            }
        });
    }
}
