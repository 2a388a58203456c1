use std::time::Duration;

const FIRST_MS: u64 = 50;
const LIMIT_MS: u64 = 2_000;

/// Waits between attempts: doubling up to a limit, and spread so that nodes which lost the same master do
/// not come back in step.
pub(super) struct Backoff {
    ceiling_ms: u64,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { ceiling_ms: FIRST_MS }
    }

    /// The next wait, between half and all of the present ceiling, as `random` has it.
    pub(super) fn next(&mut self, random: u64) -> Duration {
        let ceiling_ms = self.ceiling_ms;
        self.ceiling_ms = (ceiling_ms * 2).min(LIMIT_MS);
        Duration::from_millis(ceiling_ms - random % (ceiling_ms / 2 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST_MS, LIMIT_MS};

    #[test]
    fn waits_double_up_to_the_limit() {
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..10).map(|_| backoff.next(0).as_millis()).collect();
        assert_eq!(waits[..3], [FIRST_MS, FIRST_MS * 2, FIRST_MS * 4].map(u128::from));
        assert_eq!(waits[9], u128::from(LIMIT_MS));
    }

    #[test]
    fn no_wait_is_under_half_its_ceiling() {
        for random in 0..200 {
            let wait = Backoff::new().next(random).as_millis();
            assert!((u128::from(FIRST_MS / 2)..=u128::from(FIRST_MS)).contains(&wait));
        }
    }
}
