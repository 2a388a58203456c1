use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_proto::records::Key;
use tokio_util::task::AbortOnDropHandle;

use super::blob_store::BlobStore;
use super::kernel_cache::Stamp;
use crate::client::{ClientError, ListPage};

/// After this a page that was asked for ahead is asked for again: as long as a name may be believed that nobody tells of.
const AGE_LIMIT: Duration = Duration::from_secs(1);

/// The page behind the one that a reader of the directory has, asked for while the reader is busy with that one.
pub(super) struct PageAhead {
    after: Key,
    stamp: Stamp,
    asked_at: Instant,
    listed: AbortOnDropHandle<Result<ListPage, ClientError>>,
}

impl PageAhead {
    /// Asks for up to `limit` keys behind `after`. `stamp` was taken before.
    pub(super) fn ask<S: BlobStore>(store: &Arc<S>, after: Key, limit: u32, stamp: Stamp) -> Self {
        let (store, behind) = (Arc::clone(store), after.clone());
        let listed = tokio::spawn(async move { store.list(Some(&behind), limit).await });
        Self { after, stamp, asked_at: Instant::now(), listed: AbortOnDropHandle::new(listed) }
    }

    /// The page and the stamp of its keys, if it is the one behind `after` and as good as one that is asked for now:
    /// young, and nothing changed or told of since. `now` tells the stamp when the page is there.
    pub(super) async fn take(self, after: &Key, now: impl FnOnce() -> Stamp) -> Option<(ListPage, Stamp)> {
        if *after != self.after || self.asked_at.elapsed() > AGE_LIMIT {
            return None;
        }
        match self.listed.await {
            Ok(Ok(page)) if now() == self.stamp => Some((page, self.stamp)),
            Ok(Ok(_)) => None,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a page of the directory could not be read ahead");
                None
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}
