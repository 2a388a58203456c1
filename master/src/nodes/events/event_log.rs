use cairn_proto::ids::NodeId;
use cairn_proto::wire::{NodeEvent, NodeEventKind};

use super::Happening;
use crate::failure::StateError;
use crate::keys;
use crate::records::NodeEventsRecord;
use crate::state::{State, encode};
use crate::store::StoreSession;

/// Events that are kept of a node; the oldest go first.
pub(super) const EVENTS_LIMIT: usize = 32;
/// Longest detail; the rest is cut off.
const DETAIL_LIMIT_BYTES: usize = 256;

/// The latest events of one node, the oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::nodes) struct EventLog(NodeEventsRecord);

impl EventLog {
    /// As it is on record. Read through a session, it is a condition of what the session writes.
    pub(in crate::nodes) fn read(state: State<'_>, node: NodeId) -> Result<Self, StateError> {
        let found = state.message::<NodeEventsRecord>(&keys::node_events(node))?;
        Ok(Self(found.map(|found| found.record).unwrap_or_default()))
    }

    /// Puts what happened behind what is on record.
    pub(in crate::nodes) fn append(
        session: &mut StoreSession,
        node: NodeId,
        happenings: &[Happening],
        at_ms: u64,
    ) -> Result<(), StateError> {
        if happenings.is_empty() {
            return Ok(());
        }
        let mut log = Self::read(State(session), node)?;
        for happening in happenings {
            log.add(happening, at_ms);
        }
        session.put(keys::node_events(node), encode(&log.0));
        Ok(())
    }

    /// The events.
    pub(in crate::nodes) fn into_events(self) -> Vec<NodeEvent> {
        self.0.events
    }

    /// Whether the last event that is one or the other is the one.
    pub(super) fn stands(&self, one: NodeEventKind, other: NodeEventKind) -> bool {
        let last = self.0.events.iter().rev().map(NodeEvent::kind).find(|kind| [one, other].contains(kind));
        last == Some(one)
    }

    /// Whether the same was told already, and nothing else since.
    pub(super) fn goes_on(&self, happening: &Happening) -> bool {
        let since = self.0.events.iter().rev().take_while(|event| event.kind() == happening.kind);
        since.into_iter().any(|event| event.detail == cut(&happening.detail))
    }

    fn add(&mut self, happening: &Happening, at_ms: u64) {
        let events = &mut self.0.events;
        let excess = (events.len() + 1).saturating_sub(EVENTS_LIMIT);
        events.drain(..excess);
        let (kind, detail) = (happening.kind.into(), cut(&happening.detail).to_owned());
        events.push(NodeEvent { at_ms, kind, detail });
    }
}

fn cut(detail: &str) -> &str {
    &detail[..detail.floor_char_boundary(DETAIL_LIMIT_BYTES)]
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire::NodeEventKind;

    use super::{DETAIL_LIMIT_BYTES, EVENTS_LIMIT, EventLog, Happening};

    #[test]
    fn the_oldest_go_and_no_detail_is_long() {
        let mut log = EventLog::default();
        for number in 0..100 {
            log.add(&Happening::new(NodeEventKind::Missed, "ä".repeat(number)), number as u64);
        }
        let events = log.into_events();
        assert_eq!((events.len(), events[0].at_ms), (EVENTS_LIMIT, 100 - EVENTS_LIMIT as u64));
        assert!(events.iter().all(|event| event.detail.len() <= DETAIL_LIMIT_BYTES));
    }

    #[test]
    fn what_stands_is_the_last_of_the_two() {
        let mut log = EventLog::default();
        let stands = |log: &EventLog| log.stands(NodeEventKind::Damaged, NodeEventKind::Repaired);
        assert!(!stands(&log));
        log.add(&Happening::new(NodeEventKind::Damaged, ""), 1);
        log.add(&Happening::new(NodeEventKind::Missed, ""), 2);
        assert!(stands(&log));
        log.add(&Happening::new(NodeEventKind::Repaired, ""), 3);
        assert!(!stands(&log));
    }
}
