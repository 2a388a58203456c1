//! Reads and verifies all that is kept, over and over, and remembers what is damaged until it is repaired.
//!
//! A disk loses bits without saying so, and one that nobody reads is found only when the other copies are gone too. The
//! node finds; the elected master, which knows where the other chunks are, has it repaired.

mod findings;
mod pass;
mod progress;
mod scrubs;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::SegmentId;
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use findings::Findings;
use pass::{Interrupted, Pass, move_logged, on_thread};
use progress::Progress;
pub(crate) use scrubs::Scrubs;

use crate::background::Background;
use crate::rebuild::Pace;
use crate::store::{Store, StoreError};

/// Where the pass under way is: the last segment that was verified, or nothing before the first.
const CURSOR: &str = "scrub-cursor";
/// A scheduled pass reads at least and at most so much in a second.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;
const FASTEST_BYTES_PER_SECOND: u64 = 64 << 20;
/// From one look at what is to be done beside passes to the next.
const TICK: Duration = Duration::from_secs(1);
/// From one attempt to leave a damaged table to the next: each looks at every record.
const LEAVE_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long a pass that could not be ended is left alone.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// The scrubber of one store.
struct Scrub {
    store: Arc<Store>,
    period: Duration,
    background: Arc<Background>,
    state: Mutex<State>,
    /// Counts orders: a pass of an earlier one ends.
    orders: AtomicU64,
    ordered: Notify,
    stop: CancellationToken,
}

struct State {
    findings: Findings,
    progress: Progress,
    running: bool,
    /// The rate of a pass that is ordered and has not come to its end.
    order: Option<u64>,
    full_passes: u64,
    last_full_pass: Option<Instant>,
    damaged_records: Option<String>,
    next_leaving: Instant,
}

impl Scrub {
    fn new(store: Arc<Store>, period: Duration, background: Arc<Background>, stop: CancellationToken) -> Self {
        let state = State {
            findings: Findings::default(),
            progress: Progress::start(Instant::now()),
            running: false,
            order: None,
            full_passes: 0,
            last_full_pass: None,
            damaged_records: None,
            next_leaving: Instant::now(),
        };
        let (orders, ordered) = (AtomicU64::new(0), Notify::new());
        Self { store, period, background, state: Mutex::new(state), orders, ordered, stop }
    }

    /// Has everything verified at once, reading at most so much in a second; 0 for as much as the node may do in the
    /// background.
    fn order(&self, bytes_per_second: u64) {
        self.state.lock().order = Some(bytes_per_second);
        self.orders.fetch_add(1, Ordering::SeqCst);
        self.ordered.notify_waiters();
    }

    /// Whether a chunk of the segment is kept where it looks. One that cannot be looked up may be.
    fn keeps(&self, segment: SegmentId) -> bool {
        !matches!(self.store.chunk_index(segment), Ok(None))
    }

    /// Remembers a damaged chunk, whoever met it.
    fn note(&self, segment: SegmentId, chunk_index: u8, why: &str) {
        if self.state.lock().findings.add(segment, chunk_index) {
            tracing::error!(%segment, chunk = chunk_index, why, "a chunk is damaged");
        }
    }

    /// A chunk was put right.
    fn repaired(&self, segment: SegmentId) {
        self.state.lock().findings.repaired(segment);
    }

    /// Some of the damaged chunks, for the master.
    fn damaged(&self) -> Vec<wire::DamagedChunk> {
        self.state.lock().findings.report()
    }

    /// How it goes.
    fn status(&self) -> wire::ScrubStatus {
        let (state, now) = (self.state.lock(), Instant::now());
        let (found_chunks, repaired_chunks, unrepaired_chunks) = state.findings.counts();
        wire::ScrubStatus {
            running: state.running,
            ordered: state.order.is_some(),
            verified_chunks: state.progress.chunks,
            verified_bytes: state.progress.bytes,
            rate_bytes_per_s: if state.running { state.progress.bytes_per_second(now) } else { 0 },
            full_passes: state.full_passes,
            since_full_pass_s: state.last_full_pass.map(|at| now.saturating_duration_since(at).as_secs()),
            found_chunks,
            repaired_chunks,
            unrepaired_chunks,
            damaged_records: state.damaged_records.clone().unwrap_or_default(),
        }
    }

    /// Works until told to stop.
    async fn run(self: Arc<Self>) {
        let mut cursor = self.kept_cursor();
        let mut due = Instant::now();
        while !self.stop.is_cancelled() {
            let order = self.state.lock().order;
            if order.is_none() && Instant::now() < due {
                self.tick().await;
                continue;
            }
            let started = Instant::now();
            match self.pass(order, if order.is_some() { None } else { cursor }).await {
                Ok(()) => due = started + self.period,
                Err(Interrupted::Stopped) => {}
                Err(Interrupted::Failed(error)) => {
                    tracing::error!(%error, "a scrub broke off; it goes on later");
                    due = started + RETRY_AFTER;
                    self.state.lock().order = None;
                }
            }
            cursor = self.kept_cursor();
        }
    }

    async fn pass(&self, order: Option<u64>, cursor: Option<SegmentId>) -> Result<(), Interrupted> {
        let number = self.orders.load(Ordering::SeqCst);
        let may_go_on = || !self.stop.is_cancelled() && self.orders.load(Ordering::SeqCst) == number;
        let rate = match order {
            Some(rate) => rate,
            None => self.scheduled_rate()?,
        };
        {
            let mut state = self.state.lock();
            (state.running, state.progress) = (true, Progress::start(Instant::now()));
        }
        let passed = Pass::new(self, Pace::start(rate), &may_go_on).run(cursor).await;
        let is_latest = self.orders.load(Ordering::SeqCst) == number;
        if passed.is_ok() {
            self.keep_cursor(None).await;
        }
        let mut state = self.state.lock();
        state.running = false;
        if passed.is_ok() {
            state.full_passes += 1;
            state.last_full_pass = Some(Instant::now());
            // Another that was ordered just now begins anew.
            state.order = state.order.filter(|_| !is_latest);
        }
        passed
    }

    /// What reads all of the store in the period.
    fn scheduled_rate(&self) -> Result<u64, StoreError> {
        let used_bytes = self.store.usage()?.used_bytes;
        let rate = used_bytes / self.period.as_secs().max(1);
        Ok(rate.clamp(SLOWEST_BYTES_PER_SECOND, FASTEST_BYTES_PER_SECOND))
    }

    /// Waits a moment; forgets what was deleted, and goes on leaving what has damaged tables.
    async fn tick(&self) {
        tokio::select! {
            () = sleep(TICK) => {}
            () = self.interrupted() => return,
        }
        let store = &self.store;
        let again = {
            let mut state = self.state.lock();
            state.findings.retain(|segment| !matches!(store.chunk_index(segment), Ok(None)));
            state.findings.wants_another_pass()
        };
        if again {
            self.order(0);
        }
        if Instant::now() < self.state.lock().next_leaving {
            return;
        }
        if let Err(Interrupted::Failed(error)) = self.leave_damaged_generations().await {
            tracing::warn!(%error, "cells stay beside a damaged table for now");
        }
        self.state.lock().next_leaving = Instant::now() + LEAVE_AGAIN_AFTER;
    }

    /// Returns when another pass is ordered, or the node stops.
    async fn interrupted(&self) {
        tokio::select! {
            () = self.ordered.notified() => {}
            () = self.stop.cancelled() => {}
        }
    }

    fn leave(&self, generation: u32, why: &str) -> Result<(), StoreError> {
        let newest = self.store.generations().last().copied();
        if newest == Some(generation) {
            tracing::error!(generation, why, "logged cells move away from a damaged table");
            self.store.leave_generation(generation)?;
        }
        Ok(())
    }

    /// Moves logged cells out of generations that are being left, as far as they can be read, and drops those that
    /// nothing is left in.
    async fn leave_damaged_generations(&self) -> Result<(), Interrupted> {
        if self.store.generations().len() < 2 {
            return Ok(());
        }
        let mut cursor = None;
        loop {
            let page = on_thread(&self.store, move |store| store.list(None, cursor, 1024)).await??;
            for chunk in &page.chunks {
                if self.stop.is_cancelled() {
                    return Err(Interrupted::Stopped);
                }
                match move_logged(&self.store, chunk.segment).await {
                    Ok(_) => {}
                    Err(error @ (StoreError::WriteFailed { .. } | StoreError::NoRoom { .. })) => {
                        return Err(error.into());
                    }
                    Err(error) => self.note(chunk.segment, chunk.chunk_index, &error.to_string()),
                }
            }
            cursor = page.chunks.last().map(|chunk| chunk.segment);
            if !page.more {
                break;
            }
        }
        self.store.drop_left_generations().await?;
        Ok(())
    }

    fn note_records(&self, why: Option<String>) {
        let advice = "the node's own records are damaged; stop it, remove the folder `db` of its directory and start it \
                      again: its chunks are rebuilt";
        self.state.lock().damaged_records = why.map(|why| {
            tracing::error!(why, "{advice}");
            format!("{advice} ({why})")
        });
    }

    fn advance(&self, bytes: u64, chunks: u64, now: Instant) {
        let mut state = self.state.lock();
        state.progress.add(bytes, now);
        state.progress.chunks += chunks;
    }

    fn kept_cursor(&self) -> Option<SegmentId> {
        let kept = self.store.system_record(CURSOR).ok()??;
        SegmentId::from_wire_opt(&kept).ok()?
    }

    /// Not synced: what is lost of it is verified once more.
    async fn keep_cursor(&self, cursor: Option<SegmentId>) {
        let value = cursor.map_or_else(Bytes::new, SegmentId::to_wire);
        if let Err(error) = self.store.note_system_record(CURSOR, value).await {
            tracing::warn!(%error, "where a scrub is was not kept");
        }
    }
}
