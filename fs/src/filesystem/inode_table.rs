//! Inodes that the kernel knows.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cairn_proto::records::{Key, KeyEntry};
use parking_lot::Mutex;

use super::attributes::FileAttributes;
use super::blob_store::BlobStore;
use super::session::Session;
use super::{FsError, Inode};

/// Inodes with the number of times that each was handed to the kernel.
pub(super) struct InodeTable<S: BlobStore> {
    limit: usize,
    nodes: Mutex<Nodes<S>>,
}

struct Nodes<S: BlobStore> {
    by_inode: HashMap<Inode, Known<S>>,
    /// The committed inode last seen under a key.
    by_key: HashMap<Key, Inode>,
    /// Inodes in the order in which they became known; some may be forgotten since.
    order: VecDeque<Inode>,
}

struct Known<S: BlobStore> {
    lookups: u64,
    node: Node<S>,
}

/// What an inode stands for.
pub(super) enum Node<S: BlobStore> {
    /// A committed blob, as last seen under a key.
    Committed {
        /// The key.
        key: Key,
        /// What the key pointed at.
        entry: KeyEntry,
    },
    /// A file being written, or written a moment ago.
    Session(Arc<Session<S>>),
}

impl<S: BlobStore> Clone for Node<S> {
    fn clone(&self) -> Self {
        match self {
            Self::Committed { key, entry } => Self::Committed { key: key.clone(), entry: *entry },
            Self::Session(session) => Self::Session(session.clone()),
        }
    }
}

impl<S: BlobStore> Node<S> {
    /// What `stat` shows of it.
    pub(super) fn file_attributes(&self) -> Result<FileAttributes, FsError> {
        match self {
            Self::Committed { entry, .. } => FileAttributes::of_entry(entry),
            Self::Session(session) => Ok(session.file_attributes()),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Committed { key, .. } => key.clone(),
            Self::Session(session) => session.key(),
        }
    }
}

impl<S: BlobStore> InodeTable<S> {
    pub(super) fn new(limit: usize) -> Self {
        let nodes = Nodes { by_inode: HashMap::new(), by_key: HashMap::new(), order: VecDeque::new() };
        Self { limit, nodes: Mutex::new(nodes) }
    }

    /// Counts a look-up of a committed file.
    pub(super) fn count_committed(&self, key: &Key, entry: KeyEntry) -> Result<FileAttributes, FsError> {
        let file = FileAttributes::of_entry(&entry)?;
        self.nodes.lock().count(file.inode, Node::Committed { key: key.clone(), entry });
        Ok(file)
    }

    /// Counts a look-up of a session.
    pub(super) fn count_session(&self, session: &Arc<Session<S>>) -> FileAttributes {
        self.nodes.lock().count(session.inode(), Node::Session(session.clone()));
        session.file_attributes()
    }

    /// What an inode stands for.
    pub(super) fn get(&self, inode: Inode) -> Option<Node<S>> {
        self.nodes.lock().by_inode.get(&inode).map(|known| known.node.clone())
    }

    /// The store has other attributes for a committed file.
    pub(super) fn update(&self, inode: Inode, new: KeyEntry) {
        if let Some(Node::Committed { entry, .. }) =
            self.nodes.lock().by_inode.get_mut(&inode).map(|known| &mut known.node)
        {
            *entry = new;
        }
    }

    /// A key was renamed from this mount.
    pub(super) fn rename(&self, from: &Key, to: &Key) {
        let mut nodes = self.nodes.lock();
        let Some(inode) = nodes.by_key.remove(from) else { return };
        if let Some(Node::Committed { key, .. }) = nodes.by_inode.get_mut(&inode).map(|known| &mut known.node) {
            *key = to.clone();
            nodes.by_key.insert(to.clone(), inode);
        }
    }

    /// The kernel gives back some of its look-ups.
    pub(super) fn forget(&self, inode: Inode, lookups: u64) {
        self.nodes.lock().forget(inode, lookups);
    }

    /// The committed inode last seen under a key.
    pub(super) fn of_key(&self, key: &Key) -> Option<Inode> {
        self.nodes.lock().by_key.get(key).copied()
    }

    /// Every key under which a committed inode was seen.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.nodes.lock().by_key.keys().cloned().collect()
    }

    /// Inodes in the table.
    pub(super) fn count(&self) -> usize {
        self.nodes.lock().by_inode.len()
    }

    /// The key of the oldest inode, while there are more than the limit: one that the kernel is to forget.
    pub(super) fn surplus(&self) -> Option<Key> {
        let mut nodes = self.nodes.lock();
        while nodes.by_inode.len() > self.limit {
            let oldest = nodes.order.pop_front()?;
            if let Some(known) = nodes.by_inode.get(&oldest) {
                let key = known.node.key();
                nodes.order.push_back(oldest);
                return Some(key);
            }
        }
        None
    }
}

impl<S: BlobStore> Nodes<S> {
    fn count(&mut self, inode: Inode, node: Node<S>) {
        if let Node::Committed { key, .. } = &node {
            self.by_key.insert(key.clone(), inode);
        }
        if let Some(known) = self.by_inode.get_mut(&inode) {
            known.lookups += 1;
            known.node = node;
            return;
        }
        self.by_inode.insert(inode, Known { lookups: 1, node });
        self.order.push_back(inode);
        // What was forgotten is dropped from the order once it makes up most of it.
        if self.order.len() > 2 * self.by_inode.len() + 64 {
            let by_inode = &self.by_inode;
            self.order.retain(|inode| by_inode.contains_key(inode));
        }
    }

    fn forget(&mut self, inode: Inode, lookups: u64) {
        let Some(known) = self.by_inode.get_mut(&inode) else { return };
        known.lookups = known.lookups.saturating_sub(lookups);
        if known.lookups > 0 {
            return;
        }
        if let Some(Known { node: Node::Committed { key, .. }, .. }) = self.by_inode.remove(&inode)
            && self.by_key.get(&key) == Some(&inode)
        {
            self.by_key.remove(&key);
        }
    }
}
