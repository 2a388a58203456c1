#[cfg(test)]
mod tests;

use cairn_proto::ids::BlobId;
use cairn_proto::records::{Key, KeyChange, KeyEntry};
use lru::LruCache;
use parking_lot::Mutex;

/// Memory for what is known: some thirty thousand names.
const KNOWN_LIMIT_BYTES: usize = 8 << 20;
/// What a key takes beside its text.
const ENTRY_BYTES: usize = 256;
/// Keys of which only a change is remembered, so that an answer from before it is not taken for true.
const CHANGED_LIMIT: usize = 1024;

/// What the masters said last of keys that this client changed or looked up, as long as a watch tells of every change: a
/// key is as it was said to be until something else is told of it.
///
/// Answers and changes carry the index that they are as of, so their order of arrival does not matter.
#[derive(Debug)]
pub(super) struct KnownKeys {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// A watch of all keys goes on: whatever changes is told.
    is_told: bool,
    known: LruCache<Key, Known>,
    known_bytes: usize,
    changed: LruCache<Key, Changed>,
    /// Answers as of this index or an earlier one are not taken: changes that followed may be forgotten here.
    forgotten_index: u64,
    /// The highest index of anything that was said.
    highest_index: u64,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    index: u64,
    entry: KeyEntry,
}

/// The last change of a key.
#[derive(Debug, Clone, Copy)]
struct Changed {
    index: u64,
    /// What it points at since, if that was told.
    blob: Option<BlobId>,
}

impl KnownKeys {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                is_told: false,
                known: LruCache::unbounded(),
                known_bytes: 0,
                changed: LruCache::unbounded(),
                forgotten_index: 0,
                highest_index: 0,
            }),
        }
    }

    /// What `key` points at, if that is known and any change of it would have been told.
    pub(super) fn get(&self, key: &Key) -> Option<KeyEntry> {
        let state = self.state.lock();
        if state.is_told { state.known.peek(key).map(|known| known.entry) } else { None }
    }

    /// A master answered that `key` points at `entry`, as of `index`.
    pub(super) fn learn(&self, key: &Key, index: u64, entry: KeyEntry) {
        let mut state = self.state.lock();
        if state.may_take(key, index, entry.blob) {
            state.keep(key, Known { index, entry });
        }
    }

    /// A command at `index` changed what `key` points at.
    pub(super) fn change(&self, key: &Key, index: u64) {
        self.state.lock().change(key, Changed { index, blob: None });
    }

    /// What is known of `key` may be wrong.
    pub(super) fn doubt(&self, key: &Key) {
        let mut state = self.state.lock();
        if let Some(index) = state.known.peek(key).map(|known| known.index) {
            state.change(key, Changed { index, blob: None });
        }
    }

    /// A watch of all keys begins: every change behind `index` will be told.
    pub(super) fn begin(&self, index: u64) {
        let mut state = self.state.lock();
        state.forget();
        state.forgotten_index = state.forgotten_index.max(index);
        state.is_told = true;
    }

    /// The watch tells these changes, and that there was no other since what it told before.
    pub(super) fn tell(&self, changes: &[KeyChange]) {
        let mut state = self.state.lock();
        for change in changes {
            state.tell(change);
        }
        state.is_told = true;
    }

    /// The watch is silent or over.
    pub(super) fn lose_track(&self) {
        let mut state = self.state.lock();
        state.forget();
        state.is_told = false;
    }
}

impl State {
    fn may_take(&self, key: &Key, index: u64, blob: BlobId) -> bool {
        let is_newer = self.known.peek(key).is_none_or(|known| known.index < index);
        // A change that was told before the answer to it is what the answer says.
        let fits = |changed: &Changed| changed.index < index || (changed.index == index && changed.blob == Some(blob));
        self.is_told && index > self.forgotten_index && is_newer && self.changed.peek(key).is_none_or(fits)
    }

    fn keep(&mut self, key: &Key, known: Known) {
        self.highest_index = self.highest_index.max(known.index);
        self.changed.pop(key);
        if self.known.put(key.clone(), known).is_none() {
            self.known_bytes += size(key);
        }
        while self.known_bytes > KNOWN_LIMIT_BYTES
            && let Some((oldest, known)) = self.known.pop_lru()
        {
            self.known_bytes -= size(&oldest);
            self.forgotten_index = self.forgotten_index.max(known.index);
        }
    }

    fn change(&mut self, key: &Key, change: Changed) {
        self.highest_index = self.highest_index.max(change.index);
        if self.known.peek(key).is_some_and(|known| known.index > change.index) {
            return;
        }
        if self.known.pop(key).is_some() {
            self.known_bytes -= size(key);
        }
        if self.changed.peek(key).is_none_or(|last| last.index <= change.index) {
            self.changed.put(key.clone(), change);
        }
        if self.changed.len() > CHANGED_LIMIT
            && let Some((_, oldest)) = self.changed.pop_lru()
        {
            self.forgotten_index = self.forgotten_index.max(oldest.index);
        }
    }

    fn tell(&mut self, change: &KeyChange) {
        let entry = change.event.entry().copied();
        let answered = self.known.peek_mut(&change.key).filter(|known| known.index == change.index);
        match (answered, entry) {
            (Some(known), Some(entry)) if known.entry.blob == entry.blob => known.entry = entry,
            _ => self.change(&change.key, Changed { index: change.index, blob: entry.map(|entry| entry.blob) }),
        }
    }

    /// What is told from now on says nothing of what was known before.
    fn forget(&mut self) {
        self.known.clear();
        self.known_bytes = 0;
        self.changed.clear();
        self.forgotten_index = self.forgotten_index.max(self.highest_index);
    }
}

fn size(key: &Key) -> usize {
    ENTRY_BYTES + key.as_str().len()
}
