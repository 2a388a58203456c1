use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// First delay between two attempts.
const FIRST: Duration = Duration::from_millis(20);
/// Longest delay between two attempts.
const LONGEST: Duration = Duration::from_millis(500);

/// Delays between attempts: doubling, with jitter, so that clients do not come back all at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The next delay. `jitter`, from 0 to 1, says where in the upper half of it.
    fn step(&mut self, jitter: f64) -> Duration {
        let delay = self.next.mul_f64(0.5 + jitter / 2.0);
        self.next = (self.next * 2).min(LONGEST);
        delay
    }

    /// Waits for the next attempt. False, at once, if it would come after `deadline`.
    pub(super) async fn wait(&mut self, deadline: Instant) -> bool {
        let attempt = Instant::now() + self.step(rand::random_range(0.0..1.0));
        if attempt >= deadline {
            return false;
        }
        sleep_until(attempt).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = Backoff::new();
        assert_eq!(backoff.step(1.0), FIRST);
        assert_eq!(backoff.step(0.0), FIRST);
        assert_eq!(backoff.step(1.0), FIRST * 4);
        for _ in 0..8 {
            backoff.step(0.5);
        }
        assert_eq!(backoff.step(1.0), LONGEST);
    }
}
