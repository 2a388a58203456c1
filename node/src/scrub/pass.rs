//! One look at everything that is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use cairn_proto::ids::SegmentId;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::Scrub;
use crate::rebuild::Pace;
use crate::store::{RecordCopy, ScanStep, Store, StoreError, Verdict};

/// Chunks that are listed at once.
const PAGE_CHUNKS: usize = 256;

/// Why a pass has not come to its end.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Another was ordered, or the node stops.
    Stopped,
    /// The store could not be read on.
    Failed(StoreError),
}

impl From<StoreError> for Interrupted {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

/// A pass under way.
pub(super) struct Pass<'a> {
    pub(super) scrub: &'a Scrub,
    pub(super) pace: Pace,
    pub(super) may_go_on: &'a (dyn Fn() -> bool + Send + Sync),
    read_bytes: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(scrub: &'a Scrub, pace: Pace, may_go_on: &'a (dyn Fn() -> bool + Send + Sync)) -> Self {
        Self { scrub, pace, may_go_on, read_bytes: 0 }
    }

    /// Looks at every table, all that was logged, and each chunk behind `cursor`.
    pub(super) async fn run(mut self, cursor: Option<SegmentId>) -> Result<(), Interrupted> {
        self.blocking(Store::forget_blocks).await?;
        let damaged = self.check_tables().await?;
        self.check_records(damaged).await?;
        for generation in self.scrub.store.generations() {
            self.scan_generation(generation).await?;
        }
        self.verify_chunks(cursor).await?;
        self.scrub.leave_damaged_generations().await?;
        Ok(())
    }

    /// Answers the families of records that have tables which cannot be opened.
    async fn check_tables(&mut self) -> Result<BTreeMap<RecordCopy, String>, Interrupted> {
        let report = self.blocking(Store::check_tables).await??;
        for (generation, why) in report.generations {
            self.scrub.leave(generation, &why)?;
        }
        for (segment, why) in report.segments {
            if let Some(chunk_index) = self.blocking(move |store| store.chunk_index(segment)).await?? {
                self.scrub.note(segment, chunk_index, &why);
            }
        }
        Ok(report.records)
    }

    /// Makes families of records anew from those that have the same records. One that cannot be opened again can still be
    /// read while the store has it open.
    async fn check_records(&mut self, unopenable: BTreeMap<RecordCopy, String>) -> Result<(), Interrupted> {
        let mut unreadable: BTreeMap<RecordCopy, String> =
            self.blocking(Store::scan_records).await?.into_iter().collect();
        let mut lost = None;
        for (copy, why) in unreadable.clone().into_iter().chain(unopenable) {
            if let Some(other) = unreadable.get(&copy.other()) {
                lost = Some(other.clone());
                continue;
            }
            tracing::error!(family = ?copy, why, "records are copied from where they are kept once more");
            self.scrub.store.renew_records(copy).await?;
            unreadable.remove(&copy);
        }
        self.scrub.note_records(lost);
        Ok(())
    }

    /// All that was logged, whether a chunk names it or not.
    async fn scan_generation(&mut self, generation: u32) -> Result<(), Interrupted> {
        let mut from = Vec::new();
        loop {
            let at = std::mem::take(&mut from);
            match self.blocking(move |store| store.scan_generation(generation, &at)).await? {
                ScanStep::Next(next, bytes) => {
                    from = next;
                    self.scrub.background.spend(bytes).await;
                    self.advance(bytes, 0).await?;
                }
                ScanStep::End(bytes) => return self.advance(bytes, 0).await,
                ScanStep::Damaged(why) => return Ok(self.scrub.leave(generation, &why)?),
            }
        }
    }

    async fn verify_chunks(&mut self, mut cursor: Option<SegmentId>) -> Result<(), Interrupted> {
        loop {
            let page = self.blocking(move |store| store.list(None, cursor, PAGE_CHUNKS)).await??;
            for chunk in &page.chunks {
                let bytes = self.verify(chunk.segment).await?;
                self.advance(bytes, 1).await?;
            }
            if let Some(last) = page.chunks.last() {
                cursor = Some(last.segment);
                self.scrub.keep_cursor(cursor).await;
            }
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn verify(&mut self, segment: SegmentId) -> Result<u64, Interrupted> {
        let (background, runtime) = (Arc::clone(&self.scrub.background), Handle::current());
        let pause = move |bytes| runtime.block_on(background.spend(bytes));
        match self.blocking(move |store| store.verify(segment, &pause)).await?? {
            Verdict::Sound(bytes) => Ok(bytes),
            Verdict::Gone => Ok(0),
            Verdict::Damaged { chunk_index, why, generation } => {
                if let Some(generation) = generation {
                    self.scrub.leave(generation, &why)?;
                }
                self.scrub.note(segment, chunk_index, &why);
                Ok(0)
            }
        }
    }

    async fn advance(&mut self, bytes: u64, chunks: u64) -> Result<(), Interrupted> {
        self.read_bytes += bytes;
        self.scrub.advance(bytes, chunks, Instant::now());
        if !(self.may_go_on)() {
            return Err(Interrupted::Stopped);
        }
        tokio::select! {
            () = self.pace.wait(self.read_bytes) => {}
            () = self.scrub.interrupted() => {}
        }
        if (self.may_go_on)() { Ok(()) } else { Err(Interrupted::Stopped) }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> T + Send + 'static,
    ) -> Result<T, Interrupted> {
        on_thread(&self.scrub.store, work).await
    }
}

/// Reads from the disk on a thread that may wait for it.
pub(super) async fn on_thread<T: Send + 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> T + Send + 'static,
) -> Result<T, Interrupted> {
    let store = Arc::clone(store);
    let done = spawn_blocking(move || work(&store)).await;
    done.map_err(|error| Interrupted::Failed(StoreError::ReadFailed { why: error.to_string() }))
}

/// Moves the logged cells of a chunk, which reads and writes.
pub(super) async fn move_logged(store: &Arc<Store>, segment: SegmentId) -> Result<bool, StoreError> {
    let (store, runtime) = (Arc::clone(store), Handle::current());
    let moved = spawn_blocking(move || runtime.block_on(store.move_logged(segment))).await;
    moved.map_err(|error| StoreError::ReadFailed { why: error.to_string() })?
}
