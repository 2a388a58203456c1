use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The time over which work is counted.
const WINDOW: Duration = Duration::from_secs(10);
/// Pieces of work that are remembered; beyond them the oldest are forgotten before their time.
const PIECES_LIMIT: usize = 4096;

/// How much is done in a second, lately.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// So much was done just now.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        self.forget(now);
        if self.0.len() == PIECES_LIMIT {
            self.0.pop_front();
        }
        self.0.push_back((now, bytes));
    }

    /// Bytes in a second.
    pub(super) fn bytes_per_second(&mut self, now: Instant) -> u64 {
        self.forget(now);
        self.0.iter().map(|(_, bytes)| bytes).sum::<u64>() / WINDOW.as_secs()
    }

    fn forget(&mut self, now: Instant) {
        while self.0.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= WINDOW) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Rate;

    #[test]
    fn work_counts_for_ten_seconds() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        rate.add(1000, start);
        rate.add(500, start + Duration::from_secs(5));
        assert_eq!(rate.bytes_per_second(start + Duration::from_secs(9)), 150);
        assert_eq!(rate.bytes_per_second(start + Duration::from_secs(10)), 50);
        assert_eq!(rate.bytes_per_second(start + Duration::from_secs(15)), 0);
    }
}
