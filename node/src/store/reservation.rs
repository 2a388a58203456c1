use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is kept free for an open segment at first, and at most. Between them, as much as it has taken.
const FIRST_BYTES: u64 = 64 << 10;
const MOST_BYTES: u64 = 64 << 20;

/// Room that the open segments of a store are expected to take yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reservations {
    bytes: Arc<AtomicU64>,
}

/// What is kept free for one open segment, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    all: Reservations,
    taken_bytes: AtomicU64,
}

impl Reservations {
    pub(crate) fn begin(&self) -> Reservation {
        self.bytes.fetch_add(ahead_of(0), Ordering::Relaxed);
        Reservation { all: self.clone(), taken_bytes: AtomicU64::new(0) }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// The segment has taken so much more. One task at a time says so.
    pub(crate) fn took(&self, bytes: u64) {
        let before = self.taken_bytes.fetch_add(bytes, Ordering::Relaxed);
        // What is kept free never falls.
        self.all.bytes.fetch_add(ahead_of(before + bytes) - ahead_of(before), Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(ahead_of(self.taken_bytes.load(Ordering::Relaxed)), Ordering::Relaxed);
    }
}

/// A writer that has sent so much is expected to send as much again.
fn ahead_of(taken_bytes: u64) -> u64 {
    taken_bytes.clamp(FIRST_BYTES, MOST_BYTES)
}

#[cfg(test)]
mod tests {
    use super::{FIRST_BYTES, MOST_BYTES, Reservations};

    #[test]
    fn each_open_segment_is_expected_to_take_as_much_again() {
        let all = Reservations::default();
        let (one, other) = (all.begin(), all.begin());
        assert_eq!(all.bytes(), 2 * FIRST_BYTES);
        one.took(1 << 10);
        one.took(1 << 20);
        assert_eq!(all.bytes(), FIRST_BYTES + (1 << 20) + (1 << 10));
        one.took(1 << 30);
        assert_eq!(all.bytes(), FIRST_BYTES + MOST_BYTES);
        drop(one);
        assert_eq!(all.bytes(), FIRST_BYTES);
        drop(other);
        assert_eq!(all.bytes(), 0);
    }
}
