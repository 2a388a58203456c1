use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that all users of a client share. Who finds none left waits.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    free: Arc<Semaphore>,
    limit: u32,
}

impl MemoryBudget {
    pub(super) fn new(limit_bytes: usize) -> Self {
        let limit = u32::try_from(limit_bytes).unwrap_or(u32::MAX).max(1);
        Self { free: Arc::new(Semaphore::new(limit as usize)), limit }
    }

    /// Waits for `bytes`, or for all there are if that is less.
    pub(super) async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let taken = Arc::clone(&self.free).acquire_many_owned(self.clamp(bytes)).await;
        taken.expect("the budget is never closed")
    }

    /// Takes `bytes` if they are free now.
    pub(super) fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(self.clamp(bytes)).ok()
    }

    fn clamp(&self, bytes: usize) -> u32 {
        u32::try_from(bytes).unwrap_or(u32::MAX).min(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::MemoryBudget;

    #[tokio::test]
    async fn who_finds_none_left_waits() {
        let budget = MemoryBudget::new(10);
        let most = budget.take(8).await;
        assert!(budget.try_take(4).is_none());
        let mut waiting = Box::pin(budget.take(4));
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(most);
        assert_eq!(waiting.await.num_permits(), 4);
    }

    #[tokio::test]
    async fn a_demand_above_the_limit_takes_all_there_is() {
        assert_eq!(MemoryBudget::new(10).take(usize::MAX).await.num_permits(), 10);
    }
}
