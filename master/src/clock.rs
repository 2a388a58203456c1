//! The time, as an argument of everything that decides by it.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// Monotonic time, for every decision.
    fn now(&self) -> Instant;
    /// Milliseconds since 1970, for people only.
    fn unix_ms(&self) -> u64;
}

/// The machine's clocks. Its monotonic time is tokio's, so a runtime with paused time drives it too.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}
