use std::collections::{BTreeSet, HashMap};

use cairn_proto::ids::SegmentId;
use tokio::time::Instant;

use super::Damage;

/// Segments that wait; more are found again by the survey that comes when these are done.
const QUEUE_LIMIT: usize = 100_000;

/// Segments that wait to be repaired, the most endangered first, and behind them those with chunks to move. Each is in
/// one pair of hands at a time.
#[derive(Debug, Default)]
pub(super) struct RepairQueue {
    order: BTreeSet<(Urgency, SegmentId)>,
    waiting: HashMap<SegmentId, Waiting>,
    /// Taken, and not yet done with; whether only to be moved.
    taken: HashMap<SegmentId, bool>,
    overflowed: bool,
}

/// Lower is taken first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Urgency {
    is_move: bool,
    spare: i64,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    urgency: Urgency,
    due_bytes: u64,
    leaving_bytes: u64,
    not_before: Instant,
}

impl Waiting {
    fn new(damage: &Damage, not_before: Instant) -> Self {
        let urgency = Urgency { is_move: damage.is_move(), spare: damage.spare };
        Self { urgency, due_bytes: damage.due_bytes, leaving_bytes: damage.leaving_bytes, not_before }
    }
}

impl RepairQueue {
    /// Adds a segment, or notes how endangered it is now. One that is put off stays so, and one that is being repaired
    /// is looked at again afterwards anyway.
    pub(super) fn push(&mut self, segment: SegmentId, damage: &Damage, now: Instant) {
        if self.taken.contains_key(&segment) {
            return;
        }
        let not_before = self.remove(segment).map_or(now, |waiting| waiting.not_before);
        self.insert(segment, Waiting::new(damage, not_before));
    }

    /// Adds a segment that is not to be tried before a time.
    pub(super) fn put_off(&mut self, segment: SegmentId, damage: &Damage, not_before: Instant) {
        self.remove(segment);
        self.insert(segment, Waiting::new(damage, not_before));
    }

    /// Takes the most endangered segment that may be tried. No more than `moves_limit` are taken to be moved alone.
    pub(super) fn take(&mut self, now: Instant, moves_limit: usize) -> Option<SegmentId> {
        let may_move = self.taken.values().filter(|is_move| **is_move).count() < moves_limit;
        let is_ready = |segment: &SegmentId| self.waiting[segment].not_before <= now;
        let mut allowed = self.order.iter().take_while(|(urgency, _)| may_move || !urgency.is_move);
        let (urgency, segment) = *allowed.find(|(_, segment)| is_ready(segment))?;
        self.remove(segment);
        self.taken.insert(segment, urgency.is_move);
        Some(segment)
    }

    /// Takes a segment that nothing is known of, to move a chunk of it. `false`: it waits, or is in other hands.
    pub(super) fn claim(&mut self, segment: SegmentId) -> bool {
        let is_free = !self.has(segment) && !self.taken.contains_key(&segment);
        if is_free {
            self.taken.insert(segment, true);
        }
        is_free
    }

    /// Nobody works on a segment any more.
    pub(super) fn done(&mut self, segment: SegmentId) {
        self.taken.remove(&segment);
    }

    /// Forgets what waits: a survey follows.
    pub(super) fn clear(&mut self) {
        *self = Self { taken: std::mem::take(&mut self.taken), ..Self::default() };
    }

    /// Whether some were left out, and are to be looked for once the queue is empty.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// Whether a segment waits.
    pub(super) fn has(&self, segment: SegmentId) -> bool {
        self.waiting.contains_key(&segment)
    }

    /// Segments that miss a chunk and wait or are being repaired.
    pub(super) fn pending(&self) -> usize {
        self.waiting.len() + self.taken.len() - self.moves()
    }

    /// Segments that miss nothing, and have a chunk to be moved.
    pub(super) fn moves(&self) -> usize {
        let waiting = self.waiting.values().filter(|waiting| waiting.urgency.is_move).count();
        waiting + self.taken.values().filter(|is_move| **is_move).count()
    }

    /// Bytes to be rebuilt of those that wait.
    pub(super) fn due_bytes(&self) -> u64 {
        self.waiting.values().map(|waiting| waiting.due_bytes).sum()
    }

    /// Bytes to be moved of those that wait.
    pub(super) fn leaving_bytes(&self) -> u64 {
        self.waiting.values().map(|waiting| waiting.leaving_bytes).sum()
    }

    /// How many of so many hands have something to do, at least one.
    pub(super) fn busy(&self, now: Instant, hands: usize) -> usize {
        let ready = self.waiting.values().filter(|waiting| waiting.not_before <= now).take(hands).count();
        (self.taken.len() + ready).clamp(1, hands)
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether none waits, and nobody works on any.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.taken.is_empty()
    }

    fn insert(&mut self, segment: SegmentId, waiting: Waiting) {
        self.order.insert((waiting.urgency, segment));
        self.waiting.insert(segment, waiting);
        if self.waiting.len() > QUEUE_LIMIT
            && let Some((_, safest)) = self.order.pop_last()
        {
            self.waiting.remove(&safest);
            self.overflowed = true;
        }
    }

    fn remove(&mut self, segment: SegmentId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&segment)?;
        self.order.remove(&(waiting.urgency, segment));
        Some(waiting)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_proto::ids::SegmentId;
    use tokio::time::Instant;

    use super::{Damage, QUEUE_LIMIT, RepairQueue};

    fn damage(spare: i64) -> Damage {
        Damage { spare, due: vec![0], due_bytes: 100, ..Damage::default() }
    }

    fn to_move(spare: i64) -> Damage {
        Damage { spare, leaving: vec![0], leaving_bytes: 10, ..Damage::default() }
    }

    #[test]
    fn moves_come_last_and_leave_hands_free_for_repairs() {
        let (mut queue, now) = (RepairQueue::default(), Instant::now());
        let [first, second, missing, late] = [(); 4].map(|()| SegmentId::generate());
        queue.push(first, &to_move(0), now);
        queue.push(second, &to_move(2), now);
        queue.push(missing, &damage(1), now);
        assert_eq!((queue.pending(), queue.moves(), queue.leaving_bytes()), (1, 2, 20));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(now, 1)).collect();
        assert_eq!(taken, [missing, first]);
        queue.push(late, &damage(1), now);
        assert_eq!(queue.take(now, 1), Some(late));
        queue.done(first);
        assert_eq!(queue.take(now, 1), Some(second));
        assert!(queue.is_empty() && !queue.is_idle());
    }

    #[test]
    fn the_most_endangered_comes_first_and_once() {
        let (mut queue, now) = (RepairQueue::default(), Instant::now());
        let [safe, endangered, lost] = [(); 3].map(|()| SegmentId::generate());
        queue.push(safe, &damage(1), now);
        queue.push(endangered, &damage(1), now);
        queue.push(endangered, &damage(0), now);
        queue.push(lost, &damage(-1), now);
        assert_eq!((queue.pending(), queue.due_bytes()), (3, 300));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(now, 1)).collect();
        assert_eq!(taken, [lost, endangered, safe]);
        assert_eq!((queue.is_empty(), queue.pending()), (true, 3));
        queue.push(safe, &damage(0), now);
        assert_eq!(queue.take(now, 1), None, "it is being repaired");
        queue.done(safe);
        queue.push(safe, &damage(0), now);
        assert_eq!(queue.take(now, 1), Some(safe));
    }

    #[test]
    fn what_is_put_off_waits_for_its_time_whatever_is_heard_of_it() {
        let (mut queue, now) = (RepairQueue::default(), Instant::now());
        let [failed, other] = [(); 2].map(|()| SegmentId::generate());
        let later = now + Duration::from_secs(10);
        queue.put_off(failed, &damage(0), later);
        queue.push(other, &damage(1), now);
        queue.push(failed, &damage(0), now);
        assert_eq!((queue.take(now, 1), queue.take(now, 1)), (Some(other), None));
        assert_eq!(queue.take(later, 1), Some(failed));
    }

    #[test]
    fn hands_are_busy_as_far_as_there_is_work_for_them_now() {
        let (mut queue, now) = (RepairQueue::default(), Instant::now());
        assert_eq!(queue.busy(now, 8), 1);
        let later = now + Duration::from_secs(10);
        queue.put_off(SegmentId::generate(), &damage(0), later);
        for _ in 0..3 {
            queue.push(SegmentId::generate(), &damage(1), now);
        }
        assert!(queue.take(now, 1).is_some());
        assert_eq!((queue.busy(now, 8), queue.busy(later, 8), queue.busy(now, 2)), (3, 4, 2));
    }

    #[test]
    fn a_full_queue_leaves_the_safest_out_and_says_so() {
        let (mut queue, now) = (RepairQueue::default(), Instant::now());
        for _ in 0..QUEUE_LIMIT {
            queue.push(SegmentId::generate(), &damage(1), now);
        }
        assert!(!queue.overflowed());
        let endangered = SegmentId::generate();
        queue.push(endangered, &damage(0), now);
        assert_eq!((queue.pending(), queue.overflowed(), queue.take(now, 1)), (QUEUE_LIMIT, true, Some(endangered)));
        queue.clear();
        assert!(queue.is_empty() && !queue.overflowed());
    }
}
