use std::time::Duration;

use tokio::time::Instant;

/// What was not used in this time may be used at once.
const BURST: Duration = Duration::from_millis(250);

/// Spreads bytes over time: in the long run a rate, beyond it what was not used in the time before.
#[derive(Debug)]
pub(super) struct TokenBucket {
    bytes_per_second: u64,
    /// All bytes so far are paid for by then.
    paid_by: Instant,
}

impl TokenBucket {
    /// A full one. The rate is not 0.
    pub(super) fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self { bytes_per_second, paid_by: now.checked_sub(BURST).unwrap_or(now) }
    }

    /// Takes bytes out; answers when whoever took them may go on.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) -> Instant {
        let oldest = now.checked_sub(BURST).unwrap_or(now);
        self.paid_by = self.paid_by.max(oldest) + self.time_for(bytes);
        self.paid_by
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let microseconds = u128::from(bytes) * 1_000_000 / u128::from(self.bytes_per_second);
        Duration::from_micros(u64::try_from(microseconds).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::collection::vec;
    use proptest::prelude::{prop_assert, proptest};
    use tokio::time::Instant;

    use super::{BURST, TokenBucket};

    const RATE: u64 = 1_000_000;

    #[test]
    fn a_burst_is_free_and_all_behind_it_takes_its_time() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        assert_eq!(bucket.take(250_000, start), start);
        assert_eq!(bucket.take(500_000, start), start + Duration::from_millis(500));
        assert_eq!(bucket.take(100_000, start), start + Duration::from_millis(600), "those before go first");
    }

    #[test]
    fn what_was_not_used_for_longer_than_a_burst_is_lost() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(RATE, start);
        let later = start + Duration::from_mins(1);
        assert_eq!(bucket.take(1_000_000, later), later + Duration::from_millis(750));
    }

    proptest! {
        #[test]
        fn no_span_of_time_has_more_than_the_rate_and_a_burst(
            takes in vec((0_u64..200_000, 0_u64..400), 1..80),
        ) {
            let mut now = Instant::now();
            let mut bucket = TokenBucket::new(RATE, now);
            let mut done: Vec<(Instant, u64)> = Vec::new();
            for (bytes, pause_ms) in takes {
                now += Duration::from_millis(pause_ms);
                let begun = now;
                now = now.max(bucket.take(bytes, now));
                done.push((begun, bytes));
                for (first, (from, _)) in done.iter().enumerate() {
                    let bytes: u64 = done[first..].iter().map(|(_, bytes)| bytes).sum();
                    let allowed = (now.duration_since(*from) + BURST).as_micros() + 1 + done.len() as u128;
                    prop_assert!(u128::from(bytes) <= allowed, "{bytes} bytes in the time of {allowed}");
                }
            }
        }

        #[test]
        fn whoever_keeps_to_less_than_the_rate_never_waits(takes in vec(1_u64..1000, 1..60)) {
            let mut now = Instant::now();
            let mut bucket = TokenBucket::new(RATE, now);
            for bytes in takes {
                now += Duration::from_micros(bytes + 1);
                prop_assert!(bucket.take(bytes, now) <= now);
            }
        }
    }
}
