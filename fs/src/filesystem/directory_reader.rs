use std::sync::Arc;

use tokio::sync::Mutex as AsyncMutex;

use super::FsError;
use super::blob_store::BlobStore;
use super::kernel_cache::{ListingRead, ListingUse};
use super::listing::{DOTS, DirectoryEntry, Listing};
use super::session_table::SessionTable;

/// One open directory: its listing, and how that is read.
pub(super) struct DirectoryReader<S: BlobStore> {
    listing: ListingUse,
    state: AsyncMutex<Reading<S>>,
}

struct Reading<S: BlobStore> {
    entries: Listing<S>,
    read: ListingRead,
}

impl<S: BlobStore> DirectoryReader<S> {
    pub(super) fn new(listing: ListingUse) -> Self {
        Self { listing, state: AsyncMutex::new(Reading { entries: Listing::new(), read: ListingRead::default() }) }
    }

    /// What it may do with the kernel's memory.
    pub(super) const fn listing(&self) -> ListingUse {
        self.listing
    }

    /// The entries from `position` to the end of their page. At the end of the directory none, and how it was read.
    pub(super) async fn read(
        &self,
        store: &Arc<S>,
        sessions: &SessionTable<S>,
        position: u64,
        with_attributes: bool,
    ) -> Result<(Vec<DirectoryEntry<S>>, Option<ListingRead>), FsError> {
        tracing::trace!(position, with_attributes, "entries of the directory are asked for");
        let mut state = self.state.lock().await;
        let entries = state.entries.read(store, sessions, position).await?;
        if position == 0 {
            state.read = ListingRead::default();
        }
        if entries.is_empty() {
            return Ok((entries, Some(ListingRead { entries: position.saturating_sub(DOTS), ..state.read })));
        }
        if with_attributes {
            state.read.with_attributes += 1;
        } else {
            state.read.without_attributes += 1;
        }
        Ok((entries, None))
    }
}
