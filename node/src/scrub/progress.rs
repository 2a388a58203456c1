use std::time::Duration;

use tokio::time::Instant;

/// The time over which work is counted.
const WINDOW: Duration = Duration::from_secs(10);

/// What a pass has done, and how fast it goes.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
    window_start: Instant,
    window_bytes: u64,
    rate: u64,
}

impl Progress {
    pub(super) fn start(now: Instant) -> Self {
        Self { chunks: 0, bytes: 0, window_start: now, window_bytes: 0, rate: 0 }
    }

    /// So much was read just now.
    pub(super) fn add(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        self.window_bytes += bytes;
        let elapsed = now.saturating_duration_since(self.window_start);
        if elapsed >= WINDOW {
            self.rate = per_second(self.window_bytes, elapsed);
            (self.window_start, self.window_bytes) = (now, 0);
        }
    }

    /// Bytes in a second: over the last full window, or over the beginning of the first.
    pub(super) fn bytes_per_second(&self, now: Instant) -> u64 {
        if self.rate > 0 {
            return self.rate;
        }
        per_second(self.window_bytes, now.saturating_duration_since(self.window_start))
    }
}

fn per_second(bytes: u64, elapsed: Duration) -> u64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    bytes.saturating_mul(1000) / milliseconds
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Progress;

    #[test]
    fn the_rate_is_of_the_last_full_window() {
        let start = Instant::now();
        let mut progress = Progress::start(start);
        progress.add(1000, start + Duration::from_secs(1));
        assert_eq!(progress.bytes_per_second(start + Duration::from_secs(2)), 500);
        progress.add(1000, start + Duration::from_secs(10));
        assert_eq!(progress.bytes_per_second(start + Duration::from_secs(30)), 200);
        assert_eq!(progress.bytes, 2000);
    }
}
