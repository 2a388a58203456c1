use std::collections::BTreeSet;

use cairn_proto::ids::SessionId;
use cairn_proto::wire;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Mutations of a session that may be unanswered at a time: the masters keep that many replies.
const IN_FLIGHT_LIMIT: u64 = 64;

/// Numbers the mutations of a session, so that each is applied exactly once however often it is sent.
#[derive(Debug)]
pub(super) struct RequestSlots {
    session: SessionId,
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    next: u64,
    unanswered: BTreeSet<u64>,
}

impl State {
    fn lowest_unanswered(&self) -> u64 {
        self.unanswered.first().copied().unwrap_or(self.next)
    }
}

/// A mutation under way. Dropped once its answer is known, or is no longer wanted.
#[derive(Debug)]
pub(super) struct RequestSlot<'a> {
    slots: &'a RequestSlots,
    sequence: u64,
}

impl RequestSlots {
    pub(super) fn new(session: SessionId) -> Self {
        Self { session, state: Mutex::new(State { next: 1, unanswered: BTreeSet::new() }), freed: Notify::new() }
    }

    /// Waits while [`IN_FLIGHT_LIMIT`] later mutations would share the slot of one that is still unanswered.
    pub(super) async fn take(&self) -> RequestSlot<'_> {
        loop {
            let freed = self.freed.notified();
            if let Some(sequence) = self.try_take() {
                return RequestSlot { slots: self, sequence };
            }
            freed.await;
        }
    }

    fn try_take(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let sequence = state.next;
        if sequence - state.lowest_unanswered() >= IN_FLIGHT_LIMIT {
            return None;
        }
        state.next += 1;
        state.unanswered.insert(sequence);
        Some(sequence)
    }
}

impl RequestSlot<'_> {
    /// The id to send, the same in every attempt but for the lowest unanswered sequence.
    pub(super) fn id(&self) -> wire::RequestId {
        wire::RequestId {
            client: self.slots.session.0,
            sequence: self.sequence,
            lowest_unanswered: self.slots.state.lock().lowest_unanswered(),
        }
    }
}

impl Drop for RequestSlot<'_> {
    fn drop(&mut self) {
        self.slots.state.lock().unanswered.remove(&self.sequence);
        self.slots.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SessionId;
    use futures_util::FutureExt;

    use super::{IN_FLIGHT_LIMIT, RequestSlots};

    #[tokio::test]
    async fn the_lowest_unanswered_follows_the_answers() {
        let slots = RequestSlots::new(SessionId(7));
        let (first, second) = (slots.take().await, slots.take().await);
        assert_eq!((first.id().sequence, first.id().lowest_unanswered), (1, 1));
        drop(first);
        assert_eq!((second.id().sequence, second.id().lowest_unanswered), (2, 2));
        assert_eq!(second.id().client, 7);
    }

    #[tokio::test]
    async fn no_two_unanswered_mutations_share_a_slot() {
        let slots = RequestSlots::new(SessionId(7));
        let oldest = slots.take().await;
        for _ in 1..IN_FLIGHT_LIMIT {
            drop(slots.take().await);
        }
        let mut waiting = Box::pin(slots.take());
        assert!(waiting.as_mut().now_or_never().is_none());
        drop(oldest);
        assert_eq!(waiting.await.id().sequence, IN_FLIGHT_LIMIT + 1);
    }
}
