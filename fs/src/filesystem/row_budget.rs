//! The memory that rows being filled may take, over all open files.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Unit of account. Buffers grow by cells, which are multiples of it.
const UNIT_BYTES: usize = 4096;

/// Bytes that all sessions share. Who waits here holds nothing of it, so that the rest can always move on.
#[derive(Debug)]
pub(super) struct RowBudget {
    units: Arc<Semaphore>,
    limit_units: usize,
    waiting: AtomicUsize,
    short: Notify,
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct RowMemory(OwnedSemaphorePermit);

impl RowBudget {
    pub(super) fn new(limit_bytes: usize) -> Self {
        let limit_units = (limit_bytes / UNIT_BYTES).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            units: Arc::new(Semaphore::new(limit_units)),
            limit_units,
            waiting: AtomicUsize::new(0),
            short: Notify::new(),
        }
    }

    /// A share right now, or none.
    pub(super) fn try_take(&self, bytes: usize) -> Option<RowMemory> {
        if self.is_short() {
            return None;
        }
        self.units.clone().try_acquire_many_owned(self.units_of(bytes)).ok().map(RowMemory)
    }

    /// A share as soon as there is one. The caller must hold none.
    pub(super) async fn take(&self, bytes: usize) -> RowMemory {
        if let Some(memory) = self.try_take(bytes) {
            return memory;
        }
        let _waiting = Waiting::enter(self);
        let permit = self.units.clone().acquire_many_owned(self.units_of(bytes)).await;
        RowMemory(permit.expect("the semaphore is never closed"))
    }

    /// Whether somebody waits.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Wakes up when somebody begins to wait, or a file came to rest while somebody waits.
    pub(super) async fn shortage(&self) {
        self.short.notified().await;
    }

    /// Says that a file came to rest, so that its buffer can be sent away.
    pub(super) fn at_rest(&self) {
        if self.is_short() {
            self.short.notify_one();
        }
    }

    /// A share larger than everything counts as everything.
    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES).min(self.limit_units)).expect("the limit fits in 32 bits")
    }
}

impl RowMemory {
    pub(super) fn add(&mut self, more: Self) {
        self.0.merge(more.0);
    }
}

/// Counts one waiter, also one that is cancelled.
struct Waiting<'a>(&'a RowBudget);

impl<'a> Waiting<'a> {
    fn enter(budget: &'a RowBudget) -> Self {
        budget.waiting.fetch_add(1, Ordering::AcqRel);
        budget.short.notify_one();
        Self(budget)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::RowBudget;

    #[tokio::test]
    async fn a_waiter_gets_what_another_gives_back() {
        let budget = RowBudget::new(8 << 10);
        let all = budget.take(8 << 10).await;
        assert!(budget.try_take(1).is_none());
        let waiter = budget.take(4 << 10);
        tokio::pin!(waiter);
        assert!(futures_util::poll!(waiter.as_mut()).is_pending());
        assert!(budget.is_short());
        drop(all);
        waiter.await;
        assert!(!budget.is_short());
    }

    #[tokio::test]
    async fn a_row_larger_than_the_budget_takes_all_of_it() {
        let budget = RowBudget::new(8 << 10);
        let all = budget.take(1 << 20).await;
        assert!(budget.try_take(1).is_none());
        drop(all);
        assert!(budget.try_take(8 << 10).is_some());
    }
}
