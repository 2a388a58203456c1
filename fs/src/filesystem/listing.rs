//! One reader's listing of the directory, fetched page by page.

use std::sync::Arc;

use cairn_proto::records::Key;

use super::FsError;
use super::attributes::FileAttributes;
use super::blob_store::BlobStore;
use super::file_name::{is_escaped, name_of};
use super::inode_table::Node;
use super::kernel_cache::Stamp;
use super::page_ahead::PageAhead;
use super::session_table::SessionTable;
use crate::client::ListPage;

/// Keys fetched at a time.
const PAGE_KEYS: u32 = 1000;
/// Positions of `.` and `..`, which come first.
pub(super) const DOTS: u64 = 2;

/// One entry of the directory.
pub struct DirectoryEntry<S: BlobStore> {
    /// Where a reader goes on behind it.
    pub next_position: u64,
    /// Its name.
    pub name: String,
    /// What `stat` shows of it.
    pub file: FileAttributes,
    /// What the kernel gets to know when it gets the entry; none for `.` and `..`.
    pub(super) node: Option<Node<S>>,
    /// When it was read.
    pub(super) stamp: Stamp,
}

impl<S: BlobStore> DirectoryEntry<S> {
    /// Whether it is a file, and not `.` or `..`.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.node.is_some()
    }
}

impl<S: BlobStore> Clone for DirectoryEntry<S> {
    fn clone(&self) -> Self {
        Self {
            next_position: self.next_position,
            name: self.name.clone(),
            file: self.file,
            node: self.node.clone(),
            stamp: self.stamp,
        }
    }
}

/// Part of the directory, in key order.
struct Page<S: BlobStore> {
    first_position: u64,
    entries: Arc<[DirectoryEntry<S>]>,
    continue_after: Option<Key>,
}

/// A listing as one handle reads it. Positions count its entries, so they mean nothing to another handle.
pub(super) struct Listing<S: BlobStore> {
    /// Position and predecessor of the first key of each page that was read.
    starts: Vec<(u64, Option<Key>)>,
    page: Option<Page<S>>,
    ahead: Option<PageAhead>,
}

impl<S: BlobStore> Listing<S> {
    pub(super) const fn new() -> Self {
        Self { starts: Vec::new(), page: None, ahead: None }
    }

    /// The entries from `position` to the end of their page; none at the end of the directory.
    pub(super) async fn read(
        &mut self,
        store: &Arc<S>,
        sessions: &SessionTable<S>,
        position: u64,
    ) -> Result<Vec<DirectoryEntry<S>>, FsError> {
        let position = position.max(DOTS);
        if position == DOTS {
            // From the beginning: the directory as it is now.
            *self = Self::new();
        }
        let mut page = match self.page.take() {
            Some(page) if page.first_position <= position => page,
            _ => self.fetch_around(store, sessions, position).await?,
        };
        loop {
            let skipped = usize::try_from(position - page.first_position).unwrap_or(usize::MAX);
            let end = page.first_position + page.entries.len() as u64;
            if let Some(entries) = page.entries.get(skipped..).filter(|entries| !entries.is_empty()) {
                let entries = entries.to_vec();
                self.page = Some(page);
                return Ok(entries);
            }
            let Some(after) = page.continue_after.clone() else {
                self.page = Some(page);
                return Ok(Vec::new());
            };
            page = self.fetch(store, sessions, end, Some(after)).await?;
        }
    }

    async fn fetch_around(
        &mut self,
        store: &Arc<S>,
        sessions: &SessionTable<S>,
        position: u64,
    ) -> Result<Page<S>, FsError> {
        let behind = self.starts.partition_point(|(start, _)| *start <= position);
        self.starts.truncate(behind);
        let (start, after) = self.starts.pop().unwrap_or((DOTS, None));
        self.fetch(store, sessions, start, after).await
    }

    async fn fetch(
        &mut self,
        store: &Arc<S>,
        sessions: &SessionTable<S>,
        first_position: u64,
        after: Option<Key>,
    ) -> Result<Page<S>, FsError> {
        let (listed, stamp) = self.list(store, sessions, after.as_ref()).await?;
        let committed = listed.keys.into_iter().map(|(key, entry)| (key.clone(), Node::Committed { key, entry }));
        let mut files: Vec<(Key, Node<S>)> = committed.collect();
        for (key, session) in sessions.between(after.as_ref(), listed.continue_after.as_ref()) {
            let file = Node::Session(session);
            match files.binary_search_by(|(listed, _)| listed.cmp(&key)) {
                Ok(at) => files[at].1 = file,
                Err(at) => files.insert(at, (key, file)),
            }
        }
        let mut entries = Vec::with_capacity(files.len());
        let mut next_position = first_position;
        for (key, node) in files {
            if let Some(name) = shown_name(store.as_ref(), sessions, &key).await? {
                next_position += 1;
                let file = node.file_attributes()?;
                entries.push(DirectoryEntry { next_position, name, file, node: Some(node), stamp });
            }
        }
        self.starts.push((first_position, after));
        Ok(Page { first_position, entries: entries.into(), continue_after: listed.continue_after })
    }

    /// The committed keys behind `after`, and the stamp from before they were asked for. Asks for those behind them too.
    async fn list(
        &mut self,
        store: &Arc<S>,
        sessions: &SessionTable<S>,
        after: Option<&Key>,
    ) -> Result<(ListPage, Stamp), FsError> {
        let ahead = match (self.ahead.take(), after) {
            (Some(ahead), Some(after)) => ahead.take(after, || sessions.stamp()).await,
            _ => None,
        };
        let (listed, stamp) = if let Some(found) = ahead {
            found
        } else {
            let stamp = sessions.stamp();
            (store.list(after, PAGE_KEYS).await?, stamp)
        };
        let next = listed.continue_after.clone();
        self.ahead = next.map(|after| PageAhead::ask(store, after, PAGE_KEYS, sessions.stamp()));
        Ok((listed, stamp))
    }
}

/// The name of a key in the directory; `None` if it has none, or another key has that name.
async fn shown_name<S: BlobStore>(store: &S, sessions: &SessionTable<S>, key: &Key) -> Result<Option<String>, FsError> {
    let Some(name) = name_of(key) else { return Ok(None) };
    if !is_escaped(key) {
        return Ok(Some(name));
    }
    let Ok(rival) = Key::try_from(name.as_str()) else { return Ok(None) };
    let is_taken = sessions.bound(&rival).is_some() || store.entry(&rival).await?.is_some();
    Ok((!is_taken).then_some(name))
}

/// `.` and `..` from `position` on, which come before all keys.
pub(super) fn dots<S: BlobStore>(directory: FileAttributes, stamp: Stamp, position: u64) -> Vec<DirectoryEntry<S>> {
    let dot = |(next_position, name): (u64, &str)| DirectoryEntry {
        next_position,
        name: name.to_owned(),
        file: directory,
        node: None,
        stamp,
    };
    [(1, "."), (DOTS, "..")].into_iter().filter(|(next, _)| *next > position).map(dot).collect()
}
