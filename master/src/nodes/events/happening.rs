use std::time::Duration;

use cairn_proto::records::Node;
use cairn_proto::wire::{NodeEventKind, NodeState};

/// Something that people want to know of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::nodes) struct Happening {
    pub(super) kind: NodeEventKind,
    pub(super) detail: String,
}

impl Happening {
    pub(super) fn new(kind: NodeEventKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

/// What this master has heard of a node whose record changes.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::nodes) struct Heard {
    /// It has announced that it stops.
    pub(in crate::nodes) leaving: bool,
    /// A process answers that has still to join: its joining tells that it is back.
    pub(in crate::nodes) joins_soon: bool,
}

/// What a change of a node's record tells.
pub(in crate::nodes) fn happenings(before: Option<&Node>, after: &Node, heard: Heard) -> Vec<Happening> {
    let Some(before) = before else {
        return vec![Happening::new(NodeEventKind::Joined, format!("at {}", after.address))];
    };
    let is_next_life = before.boot != after.boot || before.incarnation != after.incarnation;
    let life = is_next_life.then(|| next_life(before, after));
    let intent = (before.intended_state != after.intended_state || before.maintenance != after.maintenance)
        .then(|| intended(before, after));
    let state = (!is_next_life && before.state != after.state).then(|| state_changed(before, after, heard)).flatten();
    [life, intent, state].into_iter().flatten().collect()
}

fn next_life(before: &Node, after: &Node) -> Happening {
    let place = if before.address == after.address {
        String::new()
    } else {
        format!(" at {}, before at {}", after.address, before.address)
    };
    if before.incarnation == after.incarnation {
        Happening::new(NodeEventKind::Back, format!("a new process{place}"))
    } else {
        Happening::new(NodeEventKind::NewData, format!("without the data it had{place}"))
    }
}

fn intended(before: &Node, after: &Node) -> Happening {
    match after.intended_state {
        NodeState::ReadOnly => Happening::new(NodeEventKind::ReadOnly, ""),
        NodeState::Draining => {
            Happening::new(NodeEventKind::Draining, format!("{} bytes of chunks lie there", after.drained_from_bytes))
        }
        NodeState::Removed => Happening::new(NodeEventKind::Removed, ""),
        NodeState::Maintenance => {
            let maintenance = after.maintenance.unwrap_or_default();
            let by = if maintenance.until_joined { "announced by itself, " } else { "" };
            let duration = Duration::from_millis(maintenance.duration_ms);
            Happening::new(NodeEventKind::Maintenance, format!("{by}for up to {duration:?}"))
        }
        _ => Happening::new(NodeEventKind::InService, over(before.intended_state)),
    }
}

fn over(before: NodeState) -> &'static str {
    match before {
        NodeState::Maintenance => "its maintenance is over",
        NodeState::Draining => "it is not to be emptied any more",
        NodeState::ReadOnly => "it is written to again",
        NodeState::Removed => "its removal was taken back",
        _ => "",
    }
}

fn state_changed(before: &Node, after: &Node, heard: Heard) -> Option<Happening> {
    match (before.state, after.state) {
        (_, NodeState::Suspect) if heard.leaving => Some(Happening::new(NodeEventKind::Stopping, "it said so")),
        (_, NodeState::Suspect) => Some(Happening::new(NodeEventKind::Missed, "it does not answer")),
        (_, NodeState::Dead) => Some(Happening::new(NodeEventKind::Dead, "it has not answered for long")),
        // What an administrator does is told by the intent.
        (_, NodeState::Removed) => None,
        (NodeState::Suspect | NodeState::Dead, _) if !heard.joins_soon => {
            Some(Happening::new(NodeEventKind::Back, "it answers again"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{BootId, IncarnationId};
    use cairn_proto::records::Node;
    use cairn_proto::wire::{Maintenance, NodeEventKind, NodeState};

    use super::{Heard, happenings};
    use crate::fakes::node_record;

    fn kinds(before: &Node, after: &Node) -> Vec<NodeEventKind> {
        happenings(Some(before), after, Heard::default()).into_iter().map(|happening| happening.kind).collect()
    }

    #[test]
    fn silence_and_its_end_are_told_once_each() {
        let active = node_record();
        let in_state = |state| Node { state, ..active.clone() };
        let (suspect, dead) = (in_state(NodeState::Suspect), in_state(NodeState::Dead));
        assert_eq!(kinds(&active, &suspect), [NodeEventKind::Missed]);
        assert_eq!(kinds(&suspect, &dead), [NodeEventKind::Dead]);
        assert_eq!(kinds(&dead, &active), [NodeEventKind::Back]);
        assert_eq!(kinds(&active, &active), []);
        let said = happenings(Some(&active), &suspect, Heard { leaving: true, ..Heard::default() });
        assert_eq!(said[0].kind, NodeEventKind::Stopping);
        assert_eq!(happenings(Some(&dead), &active, Heard { joins_soon: true, ..Heard::default() }), []);
    }

    #[test]
    fn a_new_life_tells_where_it_is_and_what_it_lost() {
        let mut dead = node_record();
        dead.state = NodeState::Dead;
        let moved = Node {
            boot: BootId::generate(),
            address: "127.0.0.1:7999".to_owned(),
            state: NodeState::Active,
            ..dead.clone()
        };
        let told = happenings(Some(&dead), &moved, Heard::default());
        assert_eq!((told.len(), told[0].kind), (1, NodeEventKind::Back));
        assert!(told[0].detail.contains("127.0.0.1:7999, before at 127.0.0.1:7101"), "{}", told[0].detail);
        let wiped = Node { incarnation: IncarnationId::generate(), ..moved };
        assert_eq!(kinds(&dead, &wiped), [NodeEventKind::NewData]);
    }

    #[test]
    fn what_an_administrator_wants_is_told_and_what_follows_from_it_is_not() {
        let active = node_record();
        let draining = Node { intended_state: NodeState::Draining, ..active.clone() };
        assert_eq!(kinds(&active, &draining), [NodeEventKind::Draining]);
        assert_eq!(kinds(&draining, &Node { state: NodeState::Draining, ..draining.clone() }), []);
        assert_eq!(kinds(&draining, &active), [NodeEventKind::InService]);
        let maintenance = Some(Maintenance { duration_ms: 1000, until_ms: 5, until_joined: true });
        let away = Node { intended_state: NodeState::Maintenance, maintenance, ..active.clone() };
        let told = happenings(Some(&active), &away, Heard::default());
        assert_eq!(
            (told[0].kind, told[0].detail.as_str()),
            (NodeEventKind::Maintenance, "announced by itself, for up to 1s")
        );
        let back = Node { boot: BootId::generate(), ..active };
        assert_eq!(kinds(&away, &back), [NodeEventKind::Back, NodeEventKind::InService]);
    }
}
