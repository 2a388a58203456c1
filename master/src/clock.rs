//! The time, as an argument of everything that decides by it.

use std::fmt::Debug;
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The time that people are told. It may jump by any amount: nothing is decided by it.
pub trait WallClock: Debug + Send + Sync {
    /// Milliseconds since 1970.
    fn unix_ms(&self) -> u64;
}

/// Where the time comes from.
pub trait Clock: WallClock {
    /// Monotonic time, for every decision.
    fn now(&self) -> Instant;
}

/// The machine's clocks. Its monotonic time is tokio's, so a runtime with paused time drives it too.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl WallClock for SystemClock {
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }
}
