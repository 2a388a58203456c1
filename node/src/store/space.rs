use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use parking_lot::Mutex;

use super::database::Database;
use super::error::StoreError;

/// Age after which the figures are taken anew.
const FRESH_FOR: Duration = Duration::from_millis(250);
/// Bytes let in after which they are taken anew, whatever their age.
const FRESH_BYTES: u64 = 16 << 20;
/// A node without room for this says that it refuses writes.
const SMALL_WRITE_BYTES: u64 = 1 << 20;
/// Share of the device that is kept free, one part in this many, and at most this much of it.
const FLOOR_PART: u64 = 20;
const FLOOR_LIMIT_BYTES: u64 = 1 << 30;

/// How much the store holds and may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes it may hold.
    pub limit_bytes: u64,
    /// Bytes it holds.
    pub used_bytes: u64,
}

/// What is known of the disk at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "names end in their unit")]
struct Figures {
    used_bytes: u64,
    free_bytes: u64,
    device_bytes: u64,
}

/// Decides whether there is room, from figures that are at most a moment or a few MiB old.
pub(crate) struct Space {
    database: Arc<Database>,
    configured_limit: Option<u64>,
    headroom_bytes: u64,
    state: Mutex<State>,
}

struct State {
    figures: Figures,
    taken: Instant,
    let_in_bytes: u64,
}

impl Space {
    pub(crate) fn open(database: Arc<Database>, limit: Option<u64>, headroom_bytes: u64) -> Result<Self, StoreError> {
        let state = State { figures: take(&database, 0)?, taken: Instant::now(), let_in_bytes: 0 };
        Ok(Self { database, configured_limit: limit, headroom_bytes, state: Mutex::new(state) })
    }

    /// Says why not even a small write would be let in, if so.
    pub(crate) fn require_room(&self, staged_bytes: u64) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        self.refresh(&mut state, 0, staged_bytes)?;
        refusal(&state.figures, self.configured_limit, self.headroom_bytes, state.let_in_bytes + SMALL_WRITE_BYTES)
    }

    /// Counts `bytes` more, or says why there is no room for them.
    pub(crate) fn let_in(&self, bytes: u64, staged_bytes: u64) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        self.refresh(&mut state, bytes, staged_bytes)?;
        refusal(&state.figures, self.configured_limit, self.headroom_bytes, state.let_in_bytes + bytes)?;
        state.let_in_bytes += bytes;
        Ok(())
    }

    pub(crate) fn usage(&self, staged_bytes: u64) -> Result<Usage, StoreError> {
        let mut state = self.state.lock();
        self.refresh(&mut state, 0, staged_bytes)?;
        let used_bytes = state.figures.used_bytes + state.let_in_bytes;
        Ok(Usage { limit_bytes: limit(&state.figures, self.configured_limit, self.headroom_bytes), used_bytes })
    }

    fn refresh(&self, state: &mut State, bytes: u64, staged_bytes: u64) -> Result<(), StoreError> {
        if state.taken.elapsed() >= FRESH_FOR || state.let_in_bytes + bytes >= FRESH_BYTES {
            let figures = take(&self.database, staged_bytes)?;
            *state = State { figures, taken: Instant::now(), let_in_bytes: 0 };
        }
        Ok(())
    }
}

fn take(database: &Database, staged_bytes: u64) -> Result<Figures, StoreError> {
    let (free_bytes, device_bytes) = device(database.dir())?;
    Ok(Figures { used_bytes: database.used_bytes()? + staged_bytes, free_bytes, device_bytes })
}

#[allow(clippy::useless_conversion, reason = "the fields' widths differ between platforms")]
fn device(dir: &Path) -> Result<(u64, u64), StoreError> {
    let stat = statvfs(dir).map_err(|error| StoreError::ReadFailed { why: format!("{}: {error}", dir.display()) })?;
    let unit = u64::from(stat.fragment_size());
    Ok((u64::from(stat.blocks_available()) * unit, u64::from(stat.blocks()) * unit))
}

/// Free space below which RocksDB never works.
fn floor(figures: &Figures, headroom_bytes: u64) -> u64 {
    (figures.device_bytes / FLOOR_PART).min(FLOOR_LIMIT_BYTES).max(headroom_bytes)
}

fn limit(figures: &Figures, configured: Option<u64>, headroom_bytes: u64) -> u64 {
    let reachable = (figures.used_bytes + figures.free_bytes).saturating_sub(floor(figures, headroom_bytes));
    configured.map_or(reachable, |configured| configured.min(reachable))
}

fn refusal(figures: &Figures, configured: Option<u64>, headroom_bytes: u64, more: u64) -> Result<(), StoreError> {
    let floor = floor(figures, headroom_bytes);
    if let Some(limit) = configured
        && figures.used_bytes + more > limit
    {
        let why = format!("{} of its limit of {limit} bytes are used", figures.used_bytes);
        return Err(StoreError::NoRoom { why });
    }
    if figures.free_bytes < floor + more {
        let why = format!("{} bytes are free on its disk and {floor} must stay so", figures.free_bytes);
        return Err(StoreError::NoRoom { why });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Figures, limit, refusal};

    const HEADROOM: u64 = 100;
    const FIGURES: Figures = Figures { used_bytes: 500, free_bytes: 1_000, device_bytes: 10_000 };

    #[test]
    fn writes_end_at_the_configured_limit() {
        assert!(refusal(&FIGURES, Some(600), HEADROOM, 100).is_ok());
        assert!(refusal(&FIGURES, Some(600), HEADROOM, 101).unwrap_err().to_string().contains("limit of 600"));
    }

    #[test]
    fn writes_end_at_the_floor_whatever_the_limit() {
        assert!(refusal(&FIGURES, Some(u64::MAX), HEADROOM, 500).is_ok());
        assert!(refusal(&FIGURES, None, HEADROOM, 501).unwrap_err().to_string().contains("500 must stay"));
    }

    #[test]
    fn the_floor_is_never_under_the_headroom() {
        let small = Figures { device_bytes: 400, ..FIGURES };
        assert!(refusal(&small, None, HEADROOM, 901).is_err());
    }

    #[test]
    fn a_limit_that_the_disk_cannot_hold_is_not_promised() {
        assert_eq!(limit(&FIGURES, Some(u64::MAX), HEADROOM), 1_000);
        assert_eq!(limit(&FIGURES, Some(700), HEADROOM), 700);
        assert_eq!(limit(&FIGURES, None, HEADROOM), 1_000);
    }
}
