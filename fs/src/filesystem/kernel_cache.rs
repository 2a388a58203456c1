//! What the kernel may keep of the directory, and for how long it may believe it.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Inode;

/// How long the kernel serves a listing by itself. Shorter than the entries of a listing are believed: a kept listing whose
/// entries were forgotten would be looked up name by name.
const LISTING_AGE: Duration = Duration::from_mins(5);
/// Of so many requests of a listing, one may be without attributes for it to count as one with them.
const REQUESTS_WITH_ATTRIBUTES: u64 = 10;

/// Something that the kernel is to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forgotten {
    /// What a name stands for.
    Name(String),
    /// The attributes of an inode.
    Attributes(Inode),
    /// The listing of the directory.
    Listing,
}

/// Whoever keeps names in memory and must drop one: the kernel of a mount.
pub trait NameCache: Send + Sync {
    /// `name` may stand for another file from now on. Must not wait.
    fn forget_name(&self, name: &str);

    /// Has it forget something; waits until that has its place in the queue.
    fn forget(&self, what: Forgotten) -> BoxFuture<'_, ()>;
}

/// A moment, as far as changes of the directory are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp(u64);

/// What a reader of the directory may do with the kernel's memory of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ListingUse {
    /// What it reads may be kept.
    pub(super) caches: bool,
    /// What was kept before is still so.
    pub(super) keeps: bool,
    generation: u64,
}

/// How a listing was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ListingRead {
    /// Entries in it.
    pub(super) entries: u64,
    /// Requests that gave entries with their attributes.
    pub(super) with_attributes: u64,
    /// Requests that gave entries without.
    pub(super) without_attributes: u64,
}

/// Keeps account of it.
pub(super) struct KernelCache {
    inode_limit: usize,
    state: Mutex<State>,
    kernel: OnceLock<Arc<dyn NameCache>>,
    /// Changes of the store are told as they happen. Changed and asked for under the lock of the state.
    followed: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    /// Grows with every change that is made here or told.
    stamp: u64,
    /// Grows with every change of the set of names.
    generation: u64,
    kept: Option<Kept>,
    /// Readers whose listing may be kept, by the generation they began in.
    readers: BTreeMap<u64, usize>,
}

/// The listing in the kernel's memory, if it was read to its end.
struct Kept {
    generation: u64,
    since: Instant,
    is_worth_it: bool,
}

impl KernelCache {
    pub(super) fn new(inode_limit: usize) -> Self {
        Self { inode_limit, state: Mutex::default(), kernel: OnceLock::new(), followed: watch::Sender::default() }
    }

    /// Tells who keeps names in memory. Only the first call counts.
    pub(super) fn set_kernel(&self, kernel: Arc<dyn NameCache>) {
        if self.kernel.set(kernel).is_err() {
            tracing::debug!("the file system has a name cache already");
        }
    }

    pub(super) fn kernel(&self) -> Option<&Arc<dyn NameCache>> {
        self.kernel.get()
    }

    /// To be taken before the store is asked.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.state.lock().stamp)
    }

    /// Whether nothing was changed or told since, and everything will be told from now on: an answer of the store that was
    /// asked for after `stamp` may then be believed for long.
    pub(super) fn is_told_since(&self, stamp: Stamp) -> bool {
        let state = self.state.lock();
        *self.followed.borrow() && state.stamp == stamp.0
    }

    /// A name stands for something else, or has other attributes.
    pub(super) fn entry_changed(&self) {
        self.state.lock().stamp += 1;
    }

    /// There is a name more or less. To be called after it is so.
    pub(super) fn names_changed(&self) {
        self.state.lock().names_changed();
    }

    /// Whether changes of the store are told from now on. What was told before is over either way.
    pub(super) fn set_followed(&self, is_followed: bool) {
        let mut state = self.state.lock();
        state.names_changed();
        self.followed.send_replace(is_followed);
    }

    /// Returns once changes of the store are told.
    pub(super) async fn followed(&self) {
        let mut followed = self.followed.subscribe();
        // The sender lives as long as this does.
        if followed.wait_for(|is_followed| *is_followed).await.is_err() {
            tracing::debug!("the directory is gone");
        }
    }

    pub(super) fn is_followed(&self) -> bool {
        *self.followed.borrow()
    }

    /// Somebody begins to read the directory. While files `are_written` here, their names are in no listing that is kept:
    /// they may fail and be gone without a word.
    pub(super) fn begin_listing(&self, now: Instant, are_written: bool) -> ListingUse {
        let mut state = self.state.lock();
        let generation = state.generation;
        let has_older_reader = state.readers.range(..generation).next().is_some();
        // An older reader may still fill the kernel's memory with what it reads.
        let caches = *self.followed.borrow() && !are_written && !has_older_reader;
        let keeps = caches && state.kept.as_ref().is_some_and(|kept| kept.serves(generation, now));
        if caches {
            *state.readers.entry(generation).or_default() += 1;
        }
        if !keeps {
            state.kept = caches.then_some(Kept { generation, since: now, is_worth_it: false });
        }
        ListingUse { caches, keeps, generation }
    }

    /// A reader came to the end of the directory.
    pub(super) fn listing_read(&self, listing: ListingUse, read: ListingRead) {
        let mut state = self.state.lock();
        if let Some(kept) = state.kept.as_mut().filter(|kept| listing.caches && kept.generation == listing.generation) {
            kept.is_worth_it = is_worth_keeping(read, self.inode_limit);
        }
    }

    /// A reader of the directory is gone.
    pub(super) fn end_listing(&self, listing: ListingUse) {
        if !listing.caches {
            return;
        }
        let mut state = self.state.lock();
        if let Some(readers) = state.readers.get_mut(&listing.generation) {
            *readers -= 1;
            if *readers == 0 {
                state.readers.remove(&listing.generation);
            }
        }
    }

    /// Whether somebody has the directory open, and may read it from the beginning again.
    pub(super) fn has_readers(&self) -> bool {
        !self.state.lock().readers.is_empty()
    }
}

impl State {
    fn names_changed(&mut self) {
        self.stamp += 1;
        self.generation += 1;
    }
}

impl Kept {
    fn serves(&self, generation: u64, now: Instant) -> bool {
        self.is_worth_it && self.generation == generation && now.duration_since(self.since) < LISTING_AGE
    }
}

/// Whoever reads a kept listing gets no attributes with it. That is no loss where the kernel has them, nor where there are
/// more files than it could keep; in between, reading the directory anew costs less than a look-up for each name.
fn is_worth_keeping(read: ListingRead, inode_limit: usize) -> bool {
    let has_attributes = read.without_attributes * REQUESTS_WITH_ATTRIBUTES <= read.with_attributes;
    let fits = usize::try_from(read.entries).is_ok_and(|entries| entries <= inode_limit);
    has_attributes == fits
}
