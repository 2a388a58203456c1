//! Sharing one small machine between tests that run in parallel.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: RwLock<()> = RwLock::new(());

/// Held by a test for as long as it uses the machine.
#[derive(Debug)]
#[must_use = "the machine is free again as soon as this is dropped"]
pub enum Machine {
    /// Others run beside.
    Shared(RwLockReadGuard<'static, ()>),
    /// Nobody else runs.
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Machine {
    /// For a test whose deadlines are ample. A test that panicked takes nothing from the others.
    pub fn shared() -> Self {
        Self::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For a test that promises seconds or bytes, or that needs most of the machine.
    pub fn alone() -> Self {
        Self::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::{MACHINE, Machine};

    #[test]
    fn who_is_alone_shares_with_nobody() {
        let alone = Machine::alone();
        assert!(MACHINE.try_read().is_err());
        drop(alone);
        let _first = Machine::shared();
        assert!(MACHINE.try_write().is_err());
    }
}
