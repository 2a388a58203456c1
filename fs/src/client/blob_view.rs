use std::sync::Arc;

use arc_swap::ArcSwap;

use super::FoundBlob;
use super::connection::Connection;

/// A blob as one reader knows it: its bytes never change, the places of its chunks do.
#[derive(Debug)]
pub(super) struct BlobView {
    current: ArcSwap<FoundBlob>,
    refreshing: tokio::sync::Mutex<()>,
}

impl BlobView {
    pub(super) fn new(found: Arc<FoundBlob>) -> Self {
        Self { current: ArcSwap::new(found), refreshing: tokio::sync::Mutex::default() }
    }

    pub(super) fn current(&self) -> Arc<FoundBlob> {
        self.current.load_full()
    }

    /// Asks the master where the chunks are now, unless somebody did so since `seen`. Without an answer, or with one
    /// that does not fit, what is known stays: a deleted blob is read by who has it open as long as its chunks are
    /// there.
    pub(super) async fn refresh(&self, connection: &Arc<Connection>, seen: &Arc<FoundBlob>) -> Arc<FoundBlob> {
        let _one_at_a_time = self.refreshing.lock().await;
        let current = self.current();
        if !Arc::ptr_eq(&current, seen) {
            return current;
        }
        match connection.look_up_again(&current).await {
            Ok(found) if found.blob().extents == current.blob().extents && found.layout() == current.layout() => {
                let found = Arc::new(found);
                self.current.store(Arc::clone(&found));
                found
            }
            Ok(_) => {
                tracing::warn!(blob = %current.blob().id, "the masters describe an immutable blob in another way now");
                current
            }
            Err(error) => {
                tracing::debug!(blob = %current.blob().id, %error, "kept the places of chunks as they were known");
                current
            }
        }
    }
}
