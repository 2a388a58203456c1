use std::collections::VecDeque;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::ids::{NodeId, SegmentId, TransactionId};
use tokio::time::Instant;

use super::target::PlannedTarget;

/// How long a transaction opened ahead may wait for its file. Short, so that a file opens on nodes that the masters
/// had found well just now; and shorter than the masters remember one that no heartbeat names.
const LIFETIME: Duration = Duration::from_secs(1);
/// Transactions asked for at a time: at first, and at most.
const FIRST_BATCH: usize = 2;
const LARGEST_BATCH: usize = 16;

/// A transaction as the masters opened it, checked.
#[derive(Debug, Clone)]
pub(super) struct OpenedWrite {
    pub(super) id: TransactionId,
    pub(super) segment: SegmentId,
    pub(super) layout: Layout,
    /// In chunk order; `None` is a hole.
    pub(super) targets: Vec<Option<PlannedTarget>>,
}

/// Transactions opened before there is a file for them, so that whoever writes many files does not wait for the
/// masters at each. There are some only while files are opened one soon after the other, and twice as many each time
/// that those there were are used up.
#[derive(Debug, Default)]
pub(super) struct OpenedAhead {
    waiting: VecDeque<OpenedWrite>,
    /// The layout that was asked for with them.
    layout: Option<Layout>,
    opened_at: Option<Instant>,
    last_take: Option<Instant>,
    batch: usize,
    /// Until then, more are on their way.
    asking_until: Option<Instant>,
}

impl OpenedAhead {
    /// One for a file that is to have `layout` (`None`: the cluster's default), on none of the nodes to avoid.
    pub(super) fn take(&mut self, layout: Option<Layout>, avoided: &[NodeId], now: Instant) -> Option<OpenedWrite> {
        if self.opened_at.is_some_and(|at| now.duration_since(at) >= LIFETIME) {
            self.forget();
        }
        if self.layout != layout {
            self.forget();
            self.layout = layout;
        }
        let suits = |opened: &OpenedWrite| {
            opened.targets.iter().flatten().all(|planned| !avoided.contains(&planned.target.node))
        };
        std::iter::from_fn(|| self.waiting.pop_front()).find(suits)
    }

    /// How many to ask for now that a file was opened: 0 if there are enough, or will be, or files are opened seldom.
    pub(super) fn count_to_request(&mut self, now: Instant) -> usize {
        let is_soon = |earlier: Option<Instant>| earlier.is_some_and(|at| now.duration_since(at) < LIFETIME);
        let follows = is_soon(self.last_take.replace(now));
        let is_asking = self.asking_until.is_some_and(|until| now < until);
        if !follows || is_asking || self.waiting.len() > self.batch / 2 {
            return 0;
        }
        self.batch = (2 * self.batch).clamp(FIRST_BATCH, LARGEST_BATCH);
        self.asking_until = Some(now + LIFETIME);
        self.batch
    }

    /// Those that were asked for with `layout`, opened since `now`.
    pub(super) fn add(&mut self, opened: Vec<OpenedWrite>, layout: Option<Layout>, now: Instant) {
        self.asking_until = None;
        if self.layout == layout {
            // The ones before may serve on for a moment longer than their own lifetime: as long as these do.
            self.waiting.extend(opened);
            self.waiting.truncate(2 * LARGEST_BATCH);
            self.opened_at = Some(now);
        }
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.opened_at = None;
        self.batch = 0;
    }
}

#[cfg(test)]
mod tests {
    use cairn_codec::Layout;
    use cairn_proto::ids::{SegmentId, SessionId, TransactionId};
    use tokio::time::Instant;

    use super::{FIRST_BATCH, LIFETIME, OpenedAhead, OpenedWrite};

    fn opened(count: usize) -> Vec<OpenedWrite> {
        let one = |sequence| OpenedWrite {
            id: TransactionId { session: SessionId(1), sequence },
            segment: SegmentId::generate(),
            layout: Layout::default(),
            targets: Vec::new(),
        };
        (1..=count as u64).map(one).collect()
    }

    #[test]
    fn files_opened_seldom_have_nothing_opened_ahead() {
        let (mut ahead, start) = (OpenedAhead::default(), Instant::now());
        for file in 0..10 {
            let now = start + file * LIFETIME;
            assert!(ahead.take(None, &[], now).is_none());
            assert_eq!(ahead.count_to_request(now), 0);
        }
    }

    #[test]
    fn more_are_asked_for_the_more_are_used() {
        let (mut ahead, now) = (OpenedAhead::default(), Instant::now());
        assert_eq!(ahead.count_to_request(now), 0);
        let mut asked = Vec::new();
        for _ in 0..100 {
            let count = ahead.count_to_request(now);
            if count > 0 {
                assert_eq!(ahead.count_to_request(now), 0, "one request at a time");
                asked.push(count);
                ahead.add(opened(count), None, now);
            }
            assert!(ahead.take(None, &[], now).is_some());
        }
        assert_eq!(asked[..5], [2, 4, 8, 16, 16]);
    }

    #[test]
    fn one_that_waited_too_long_or_has_another_layout_is_not_used() {
        let (mut ahead, now) = (OpenedAhead::default(), Instant::now());
        ahead.add(opened(2), None, now);
        assert!(ahead.take(None, &[], now + LIFETIME).is_none());
        ahead.add(opened(2), None, now);
        assert!(ahead.take(Some(Layout::default()), &[], now).is_none());
        ahead.add(opened(2), None, now);
        assert!(ahead.take(Some(Layout::default()), &[], now).is_none(), "it came for the layout before");
    }

    #[test]
    fn an_answer_that_never_comes_does_not_end_the_asking() {
        let (mut ahead, now) = (OpenedAhead::default(), Instant::now());
        ahead.count_to_request(now);
        assert_eq!(ahead.count_to_request(now), FIRST_BATCH);
        let later = now + LIFETIME;
        ahead.count_to_request(later);
        assert!(ahead.count_to_request(later) > 0);
    }
}
