//! A wall clock that a test moves while the process runs that reads it.

use std::fs;
use std::path::{Path, PathBuf};

use cairn_master::clock::{Clock, SystemClock, WallClock};
use tokio::time::Instant;

/// The machine's clocks, its wall clock off by the milliseconds that a file holds at the moment.
#[derive(Debug, Clone)]
pub struct MovedClock {
    offset: PathBuf,
}

impl MovedClock {
    /// Off by what the file says, which must exist.
    #[must_use]
    pub fn by(offset: PathBuf) -> Self {
        Self { offset }
    }

    /// Moves every clock that follows the file, at once.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set(offset: &Path, milliseconds: i64) {
        let new = offset.with_extension("new");
        fs::write(&new, milliseconds.to_string()).expect("the test's folder can be written");
        fs::rename(&new, offset).expect("the test's folder can be written");
    }

    fn offset_ms(&self) -> i64 {
        let text = fs::read_to_string(&self.offset).expect("the test keeps the file of a moved clock");
        text.parse().expect("the file of a moved clock holds milliseconds")
    }
}

impl WallClock for MovedClock {
    fn unix_ms(&self) -> u64 {
        SystemClock.unix_ms().saturating_add_signed(self.offset_ms())
    }
}

impl Clock for MovedClock {
    fn now(&self) -> Instant {
        SystemClock.now()
    }
}

#[cfg(test)]
mod tests {
    use cairn_master::clock::{SystemClock, WallClock};

    use super::MovedClock;

    const HOUR_MS: u64 = 3_600_000;

    #[test]
    fn a_moved_clock_jumps_when_its_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("offset");
        let clock = MovedClock::by(file.clone());
        let before = SystemClock.unix_ms();
        MovedClock::set(&file, 3_600_000);
        assert!(clock.unix_ms() >= before + HOUR_MS);
        MovedClock::set(&file, -3_600_000);
        assert!(clock.unix_ms() <= SystemClock.unix_ms() - HOUR_MS);
    }
}
