use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use cairn_proto::ids::NodeId;
use tokio::time::Instant;

/// Nodes that are asked in one go.
const ASKED_AT_ONCE: usize = 64;
/// From one go to the next. What falls due in between is asked together.
const SLOT: Duration = Duration::from_millis(10);

/// When each node is asked how it is.
///
/// ```text
///   (unknown) --hurry--> waiting, due now --take_due--> asked --answered--> waiting, due at its place in the interval
///                             ^                          |  hurry: once more at once, when it has answered
///                             +---------hurry------------+
/// ```
///
/// Every node has a place of its own in the interval, by its id: so many nodes are asked as evenly as they come, by each
/// master anew. Nobody is asked again before the answer, or the end of its time.
#[derive(Debug)]
pub(super) struct BeatSchedule {
    start: Instant,
    interval: Duration,
    due: BTreeSet<(Instant, NodeId)>,
    waiting: HashMap<NodeId, Instant>,
    /// Whether each node that is being asked is to be asked once more at once.
    asked: HashMap<NodeId, bool>,
    not_before: Instant,
}

impl BeatSchedule {
    /// Nobody is asked yet.
    pub(super) fn new(start: Instant, interval: Duration) -> Self {
        let (due, waiting, asked) = (BTreeSet::new(), HashMap::new(), HashMap::new());
        Self { start, interval, due, waiting, asked, not_before: start }
    }

    /// A node is to be asked now, whether it was on the schedule or not.
    pub(super) fn hurry(&mut self, id: NodeId, now: Instant) {
        match self.asked.get_mut(&id) {
            Some(again) => *again = true,
            None => self.wait_until(id, now),
        }
    }

    /// When somebody is to be asked next.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| self.not_before.max(*at))
    }

    /// Whom to ask now, the longest due first; each counts as asked from now on.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<NodeId> {
        let mut taken = Vec::new();
        while taken.len() < ASKED_AT_ONCE
            && let Some((at, id)) = self.due.pop_first()
        {
            if at > now {
                self.due.insert((at, id));
                break;
            }
            self.waiting.remove(&id);
            self.asked.insert(id, false);
            taken.push(id);
        }
        self.not_before = now + SLOT;
        taken
    }

    /// A node that was asked has answered, or its time is over.
    pub(super) fn answered(&mut self, id: NodeId, now: Instant) {
        if let Some(again) = self.asked.remove(&id) {
            let at = if again { now } else { self.place_after(id, now) };
            self.wait_until(id, at);
        }
    }

    /// All that were asked count as having answered: it is not known who did not.
    pub(super) fn all_answered(&mut self, now: Instant) {
        for id in self.asked.keys().copied().collect::<Vec<_>>() {
            self.answered(id, now);
        }
    }

    fn wait_until(&mut self, id: NodeId, at: Instant) {
        if let Some(before) = self.waiting.insert(id, at) {
            self.due.remove(&(before, id));
        }
        self.due.insert((at, id));
    }

    /// The next moment after `now` that is the node's.
    fn place_after(&self, id: NodeId, now: Instant) -> Instant {
        // The last bytes of an id are random.
        let share = u64::from(id.as_bytes().last_chunk().map_or(0, |last| u32::from_be_bytes(*last)));
        let interval = u64::try_from(self.interval.as_nanos()).unwrap_or(u64::MAX).max(1);
        let place = u64::try_from((u128::from(interval) * u128::from(share)) >> u32::BITS).unwrap_or(0);
        let elapsed = u64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX);
        let beats = if elapsed < place { 0 } else { (elapsed - place) / interval + 1 };
        self.start + Duration::from_nanos(place.saturating_add(beats.saturating_mul(interval)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};
    use std::time::Duration;

    use cairn_proto::ids::NodeId;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
    use tokio::time::Instant;

    use super::{ASKED_AT_ONCE, BeatSchedule, SLOT};

    const INTERVAL: Duration = Duration::from_millis(500);

    /// The n-th of so many, whose places are as far apart as they can be.
    fn spread(n: u32, of: u32) -> NodeId {
        let mut bytes = [7; 16];
        let share = (u64::from(n) << u32::BITS) / u64::from(of);
        bytes[12..].copy_from_slice(&u32::try_from(share).unwrap().to_be_bytes());
        NodeId::from_bytes(bytes)
    }

    /// Lets the time run from one wake to the next; `answer_after` says how long each node takes. Answers who was asked
    /// when.
    fn run(
        beats: &mut BeatSchedule,
        from: Instant,
        until: Instant,
        answer_after: impl Fn(NodeId) -> Duration,
    ) -> Vec<(Instant, Vec<NodeId>)> {
        let mut goes = Vec::new();
        let mut answers: BTreeSet<(Instant, NodeId)> = BTreeSet::new();
        let mut now = from;
        loop {
            let answer = answers.first().copied();
            let next = [beats.next_wake(), answer.map(|(at, _)| at)].into_iter().flatten().min();
            now = now.max(next.expect("somebody waits or is asked"));
            if now >= until {
                return goes;
            }
            if let Some((at, id)) = answer.filter(|(at, _)| *at <= now) {
                answers.remove(&(at, id));
                beats.answered(id, now);
            } else {
                let taken = beats.take_due(now);
                answers.extend(taken.iter().map(|id| (now + answer_after(*id), *id)));
                goes.push((now, taken));
            }
        }
    }

    #[test]
    fn a_thousand_nodes_are_asked_evenly_and_each_once_an_interval() {
        let start = Instant::now();
        let mut beats = BeatSchedule::new(start, INTERVAL);
        for n in 0..1000 {
            beats.hurry(spread(n, 1000), start);
        }
        let first = run(&mut beats, start, start + INTERVAL, |_| Duration::from_millis(1));
        let at_first: HashSet<NodeId> =
            first.iter().take_while(|(at, _)| *at < start + SLOT * 16).flat_map(|(_, ids)| ids).copied().collect();
        assert_eq!(at_first.len(), 1000, "all are asked soon after an election");
        let goes = run(&mut beats, start + INTERVAL, start + 5 * INTERVAL, |_| Duration::from_millis(1));
        let asked: usize = goes.iter().map(|(_, ids)| ids.len()).sum();
        assert!((3980..=4020).contains(&asked), "{asked} beats in four intervals");
        let most = goes.iter().map(|(_, ids)| ids.len()).max().unwrap();
        assert!(most <= 25, "{most} in one go, 20 are due in a slot");
    }

    #[test]
    fn a_node_that_joins_is_asked_at_once_and_once_more_if_it_was_being_asked() {
        let start = Instant::now();
        let mut beats = BeatSchedule::new(start, INTERVAL);
        let id = spread(1, 2);
        beats.hurry(id, start);
        assert_eq!(beats.take_due(start), [id]);
        beats.hurry(id, start);
        assert_eq!(beats.next_wake(), None, "it is being asked");
        let later = start + Duration::from_millis(40);
        beats.answered(id, later);
        assert_eq!(beats.next_wake(), Some(later));
        beats.take_due(later);
        beats.answered(id, later);
        assert_eq!(beats.next_wake(), Some(start + INTERVAL / 2), "its place in the interval");
        beats.hurry(id, later);
        assert_eq!(beats.next_wake(), Some(later + SLOT));
        assert_eq!(beats.take_due(later + SLOT), [id]);
        assert!(beats.take_due(later + INTERVAL).is_empty(), "it is on the schedule once");
    }

    proptest! {
        #[test]
        fn nobody_is_asked_twice_at_a_time_or_left_out(
            delays in proptest::collection::vec(0_u64..3000, 1..40),
            places in proptest::collection::vec(any::<u32>(), 40),
        ) {
            let start = Instant::now();
            let mut beats = BeatSchedule::new(start, INTERVAL);
            let id = |n: usize| {
                let mut bytes = [u8::try_from(n).unwrap(); 16];
                bytes[12..].copy_from_slice(&places[n].to_be_bytes());
                NodeId::from_bytes(bytes)
            };
            for n in 0..delays.len() {
                beats.hurry(id(n), start);
            }
            let delay = |id: NodeId| Duration::from_millis(delays[usize::from(id.as_bytes()[0])]);
            let mut last: BTreeMap<NodeId, Instant> = BTreeMap::new();
            for (at, ids) in run(&mut beats, start, start + 10 * INTERVAL, delay) {
                prop_assert!(ids.len() <= ASKED_AT_ONCE);
                for id in ids {
                    if let Some(before) = last.insert(id, at) {
                        let apart = at - before;
                        prop_assert!(apart >= delay(id), "asked again before its answer");
                        prop_assert!(apart <= delay(id) + INTERVAL + SLOT, "left out for {apart:?}");
                    }
                }
            }
            prop_assert_eq!(last.len(), delays.len());
        }
    }
}
