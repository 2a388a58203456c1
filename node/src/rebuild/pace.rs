use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Spreads work over time.
pub(crate) struct Pace {
    start: Instant,
    bytes_per_second: u64,
}

impl Pace {
    /// From now on. 0: without a limit.
    pub(crate) fn start(bytes_per_second: u64) -> Self {
        Self { start: Instant::now(), bytes_per_second }
    }

    /// Waits until so much may have been done since the start.
    pub(crate) async fn wait(&self, bytes: u64) {
        if self.bytes_per_second > 0 {
            sleep_until(self.start + self.time_for(bytes)).await;
        }
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let microseconds = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second.max(1));
        Duration::from_micros(u64::try_from(microseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::Pace;

    #[tokio::test(start_paused = true)]
    async fn work_takes_the_time_that_its_bytes_take() {
        let start = Instant::now();
        let pace = Pace::start(1000);
        pace.wait(500).await;
        assert_eq!(start.elapsed(), Duration::from_millis(500));
        pace.wait(400).await;
        pace.wait(2500).await;
        assert_eq!(start.elapsed(), Duration::from_millis(2500));
        Pace::start(0).wait(u64::MAX).await;
        assert_eq!(start.elapsed(), Duration::from_millis(2500));
    }
}
