use std::time::{Duration, Instant};

/// When a row ends with what it has done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    pub(super) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}
