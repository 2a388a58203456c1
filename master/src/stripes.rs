//! A fixed number of locks that any number of things share.

use std::hash::{BuildHasher, Hash, RandomState};

use tokio::sync::{Mutex, MutexGuard};

/// Locks; two things that share one only wait for each other.
const STRIPES: u64 = 4096;

/// Locks for things of one kind. Nobody may hold two of them.
pub(crate) struct Stripes {
    locks: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Default for Stripes {
    fn default() -> Self {
        Self { locks: (0..STRIPES).map(|_| Mutex::new(())).collect(), hasher: RandomState::new() }
    }
}

impl Stripes {
    /// Waits until nobody else holds this thing.
    pub(crate) async fn lock(&self, thing: impl Hash) -> MutexGuard<'_, ()> {
        let stripe = usize::try_from(self.hasher.hash_one(thing) % STRIPES).expect("below the number of stripes");
        self.locks[stripe].lock().await
    }
}
