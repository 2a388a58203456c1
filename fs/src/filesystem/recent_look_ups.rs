//! Look-ups that an opening may follow on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Inode;

/// From the answer to a look-up to the opening that asked for it, at most: both are parts of one system call. Long enough
/// for a caller that waits for a processor in between.
const SAME_CALL: Duration = Duration::from_millis(20);
/// Callers whose last look-up is remembered.
const CALLERS_LIMIT: usize = 64;
/// Requests for a caller of whom nothing is known: a kernel thread, or one that this process cannot see.
const NO_CALLER: u32 = 0;

/// The last look-up of each caller, with the blob if it was asked for along with the name. Says whether openings follow on
/// look-ups, so that it is worth asking for both at once.
pub(super) struct RecentLookUps<B> {
    state: Mutex<State<B>>,
    added: Notify,
}

struct State<B> {
    look_ups: VecDeque<LookUp<B>>,
    habit: Habit,
}

struct LookUp<B> {
    caller: u32,
    inode: Inode,
    at: Instant,
    blob: Option<Arc<B>>,
}

impl<B> RecentLookUps<B> {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { look_ups: VecDeque::new(), habit: Habit::default() }), added: Notify::new() }
    }

    /// Whether an opening is likely to follow on the next look-up.
    pub(super) fn expects_opening(&self) -> bool {
        self.state.lock().habit.expects_opening()
    }

    /// `caller` gets to know `inode` now; `blob`: what is read if it opens the file.
    pub(super) fn add(&self, caller: u32, inode: Inode, blob: Option<Arc<B>>, now: Instant) {
        if caller == NO_CALLER {
            return;
        }
        let has_blob = blob.is_some();
        {
            let mut state = self.state.lock();
            // What it looked up before, it did not open.
            state.take(caller).inspect(|_| state.habit.did_not_follow());
            state.look_ups.push_back(LookUp { caller, inode, at: now, blob });
            state.drop_old(now);
        }
        if has_blob {
            self.added.notify_one();
        }
    }

    /// `caller` opens `inode` to read: the blob that came with the look-up, if that was part of the same call.
    pub(super) fn open(&self, caller: u32, inode: Inode, now: Instant) -> Option<Arc<B>> {
        let mut state = self.state.lock();
        state.drop_old(now);
        let look_up = state.take(caller)?;
        if look_up.inode != inode {
            state.habit.did_not_follow();
            return None;
        }
        state.habit.followed();
        look_up.blob
    }

    /// Lets go of blobs that nobody came to open. Runs until dropped.
    pub(super) async fn let_go(self: Arc<Self>) {
        loop {
            self.added.notified().await;
            while self.has_any() {
                tokio::time::sleep(SAME_CALL).await;
                self.state.lock().drop_old(Instant::now());
            }
        }
    }

    fn has_any(&self) -> bool {
        !self.state.lock().look_ups.is_empty()
    }
}

impl<B> State<B> {
    fn take(&mut self, caller: u32) -> Option<LookUp<B>> {
        let at = self.look_ups.iter().position(|look_up| look_up.caller == caller)?;
        self.look_ups.remove(at)
    }

    fn drop_old(&mut self, now: Instant) {
        while let Some(oldest) = self.look_ups.front()
            && (self.look_ups.len() > CALLERS_LIMIT || now.duration_since(oldest.at) >= SAME_CALL)
        {
            self.look_ups.pop_front();
            self.habit.did_not_follow();
        }
    }
}

/// How often an opening followed on a look-up of late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Habit {
    score: u8,
}

impl Habit {
    /// From there on an opening is expected.
    const EXPECTED: u8 = 4;
    const HIGHEST: u8 = 16;
    /// What one look-up without an opening weighs: as much as two with one.
    const MISS: u8 = 2;

    const fn expects_opening(self) -> bool {
        self.score >= Self::EXPECTED
    }

    fn followed(&mut self) {
        self.score = (self.score + 1).min(Self::HIGHEST);
    }

    const fn did_not_follow(&mut self) {
        self.score = self.score.saturating_sub(Self::MISS);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::Instant;

    use super::{CALLERS_LIMIT, Habit, Inode, RecentLookUps, SAME_CALL};

    const FILE: Inode = Inode::from_raw(100);
    const OTHER: Inode = Inode::from_raw(101);

    fn blob() -> Arc<()> {
        Arc::new(())
    }

    #[test]
    fn a_blob_serves_the_opening_in_the_same_call_once() {
        let (recent, now) = (RecentLookUps::new(), Instant::now());
        recent.add(1, FILE, Some(blob()), now);
        assert_eq!(recent.open(2, FILE, now), None, "another thread");
        assert!(recent.open(1, FILE, now).is_some());
        assert_eq!(recent.open(1, FILE, now), None, "another call");
        recent.add(1, FILE, Some(blob()), now);
        assert_eq!(recent.open(1, OTHER, now), None);
        assert_eq!(recent.open(1, FILE, now), None, "it opened another in between");
        recent.add(1, FILE, Some(blob()), now);
        recent.add(1, OTHER, Some(blob()), now);
        assert_eq!(recent.open(1, FILE, now), None, "it looked up another in between");
        recent.add(1, FILE, Some(blob()), now);
        assert_eq!(recent.open(1, FILE, now + SAME_CALL), None, "too late");
        recent.add(0, FILE, Some(blob()), now);
        assert_eq!(recent.open(0, FILE, now), None, "nobody knows who that is");
    }

    #[test]
    fn an_opening_is_expected_where_most_look_ups_had_one() {
        let (recent, now) = (RecentLookUps::<()>::new(), Instant::now());
        let read = || {
            recent.add(1, FILE, None, now);
            recent.open(1, FILE, now);
        };
        assert!(!recent.expects_opening());
        (0..Habit::EXPECTED).for_each(|_| read());
        assert!(recent.expects_opening());
        recent.add(1, FILE, None, now);
        recent.add(1, OTHER, None, now);
        assert!(!recent.expects_opening());
        (0..100).for_each(|_| read());
        (0..10).for_each(|_| recent.add(1, FILE, None, now));
        assert!(!recent.expects_opening(), "a habit ends soon");
    }

    #[test]
    fn few_callers_are_remembered() {
        let (recent, now) = (RecentLookUps::new(), Instant::now());
        let last = u32::try_from(CALLERS_LIMIT).unwrap() + 1;
        (1..=last).for_each(|caller| recent.add(caller, FILE, Some(blob()), now));
        assert_eq!(recent.open(1, FILE, now), None);
        assert!(recent.open(2, FILE, now).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_blob_that_nobody_opens_is_let_go() {
        let recent = Arc::new(RecentLookUps::new());
        let blob = Arc::new(());
        let letting_go = tokio::spawn(recent.clone().let_go());
        recent.add(1, FILE, Some(blob.clone()), Instant::now());
        tokio::time::sleep(3 * SAME_CALL).await;
        assert_eq!(Arc::strong_count(&blob), 1);
        letting_go.abort();
    }
}
