//! The write sessions of a mount, and the names that lead to them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cairn_proto::records::Key;
use parking_lot::Mutex;

use super::Inode;
use super::blob_store::BlobStore;
use super::kernel_cache::{KernelCache, Stamp};
use super::row_budget::RowBudget;
use super::session::{Opening, Session};

/// Sessions that are not over.
pub(super) struct SessionTable<S: BlobStore> {
    next_number: AtomicU64,
    sessions: Mutex<Sessions<S>>,
    /// Told of every name that leads to a session, or no longer does.
    kernel: Arc<KernelCache>,
}

struct Sessions<S: BlobStore> {
    /// Those that a name leads to.
    by_key: BTreeMap<Key, Arc<Session<S>>>,
    /// All, unlinked ones included.
    live: HashMap<Inode, Arc<Session<S>>>,
}

impl<S: BlobStore> SessionTable<S> {
    pub(super) fn new(kernel: Arc<KernelCache>) -> Self {
        Self {
            next_number: AtomicU64::new(0),
            sessions: Mutex::new(Sessions { by_key: BTreeMap::new(), live: HashMap::new() }),
            kernel,
        }
    }

    /// A new session under its key, unless another was faster.
    pub(super) fn open(&self, opening: Opening<S>) -> Option<Arc<Session<S>>> {
        let inode = Inode::of_session(self.next_number.fetch_add(1, Ordering::Relaxed));
        let session = Arc::new(Session::new(inode, opening));
        self.bind(&session).then_some(session)
    }

    /// Makes the session's key lead to it, unless another session has the key.
    pub(super) fn bind(&self, session: &Arc<Session<S>>) -> bool {
        let mut sessions = self.sessions.lock();
        let key = session.key();
        if sessions.by_key.get(&key).is_some_and(|bound| !bound.has_failed()) {
            return false;
        }
        sessions.by_key.insert(key, session.clone());
        sessions.live.insert(session.inode(), session.clone());
        self.kernel.names_changed();
        true
    }

    /// The session that `key` leads to. One that failed has no name any more.
    pub(super) fn bound(&self, key: &Key) -> Option<Arc<Session<S>>> {
        self.sessions.lock().by_key.get(key).filter(|session| !session.has_failed()).cloned()
    }

    /// Makes `key` lead to nothing here, if it leads to this session.
    pub(super) fn unbind(&self, key: &Key, session: &Session<S>) {
        let mut sessions = self.sessions.lock();
        if sessions.by_key.get(key).is_some_and(|bound| bound.inode() == session.inode()) {
            sessions.by_key.remove(key);
        }
        self.kernel.names_changed();
    }

    /// Makes `to` lead to the session instead of `from`.
    pub(super) fn rebind(&self, from: &Key, to: &Key, session: &Arc<Session<S>>) {
        let mut sessions = self.sessions.lock();
        if sessions.by_key.get(from).is_some_and(|bound| bound.inode() == session.inode()) {
            sessions.by_key.remove(from);
        }
        sessions.by_key.insert(to.clone(), session.clone());
        self.kernel.names_changed();
    }

    /// Forgets a session that is over.
    pub(super) fn remove(&self, session: &Session<S>) {
        self.unbind(&session.key(), session);
        self.sessions.lock().live.remove(&session.inode());
    }

    /// The moment as far as changes are concerned, those of sessions included.
    pub(super) fn stamp(&self) -> Stamp {
        self.kernel.stamp()
    }

    /// Whether there is any session.
    pub(super) fn has_live(&self) -> bool {
        !self.sessions.lock().live.is_empty()
    }

    /// All sessions.
    pub(super) fn live(&self) -> Vec<Arc<Session<S>>> {
        self.sessions.lock().live.values().cloned().collect()
    }

    /// Sessions whose keys are behind `after` and, if given, not behind `until`; in order.
    pub(super) fn between(&self, after: Option<&Key>, until: Option<&Key>) -> Vec<(Key, Arc<Session<S>>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let end = until.map_or(Bound::Unbounded, Bound::Included);
        if let (Some(after), Some(until)) = (after, until)
            && after >= until
        {
            return Vec::new();
        }
        let sessions = self.sessions.lock();
        let in_range = sessions.by_key.range((start, end));
        let sound = in_range.filter(|(_, session)| !session.has_failed());
        sound.map(|(key, session)| (key.clone(), session.clone())).collect()
    }

    /// Sends rows in memory away while writers wait for memory. Runs until dropped.
    pub(super) async fn relieve(self: Arc<Self>, budget: Arc<RowBudget>) {
        loop {
            budget.shortage().await;
            for session in self.live() {
                if !budget.is_short() {
                    break;
                }
                if let Some(mut state) = session.try_lock()
                    && state.holds_memory()
                    && let Err(error) = state.shed().await
                {
                    tracing::warn!(key = %session.key(), inode = %session.inode(), %error, "a file being written failed");
                }
            }
        }
    }
}
