use std::hash::Hash;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// What is remembered at most; the longest unnoticed is forgotten.
const LIMIT: NonZeroUsize = NonZeroUsize::new(4096).expect("not 0");

/// Things that failed just now and are passed over for a while where others will do.
#[derive(Debug)]
pub(super) struct Avoidance<K: Hash + Eq> {
    failed: Mutex<LruCache<K, Instant>>,
    lasts: Duration,
}

impl<K: Hash + Eq + Copy> Avoidance<K> {
    pub(super) fn new(lasts: Duration) -> Self {
        Self { failed: Mutex::new(LruCache::new(LIMIT)), lasts }
    }

    pub(super) fn add(&self, thing: K, now: Instant) {
        self.failed.lock().put(thing, now);
    }

    pub(super) fn contains(&self, thing: &K, now: Instant) -> bool {
        self.failed.lock().peek(thing).is_some_and(|at| now.duration_since(*at) < self.lasts)
    }

    /// Whether `thing` failed after `since`.
    pub(super) fn failed_after(&self, thing: &K, since: Instant) -> bool {
        self.failed.lock().peek(thing).is_some_and(|at| *at > since)
    }

    /// It answered again.
    pub(super) fn remove(&self, thing: &K) {
        self.failed.lock().pop(thing);
    }

    /// All that are to be avoided now.
    pub(super) fn all(&self, now: Instant) -> Vec<K> {
        let failed = self.failed.lock();
        failed.iter().filter(|(_, at)| now.duration_since(**at) < self.lasts).map(|(thing, _)| *thing).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Avoidance;

    #[test]
    fn what_failed_is_avoided_for_a_while() {
        let lasts = Duration::from_secs(10);
        let (avoidance, now) = (Avoidance::new(lasts), Instant::now());
        avoidance.add(1, now);
        avoidance.add(2, now + lasts / 2);
        assert!(avoidance.contains(&1, now + lasts / 2));
        assert_eq!(avoidance.all(now + lasts), vec![2]);
        avoidance.remove(&2);
        assert!(!avoidance.contains(&2, now + lasts));
    }
}
