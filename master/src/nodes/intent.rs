use std::time::Duration;

use cairn_proto::records::Node;
use cairn_proto::wire::{Maintenance, NodeState};
use cairn_proto::{Refusal, wire};

/// Longest maintenance that is believed.
const MAINTENANCE_LIMIT: Duration = Duration::from_hours(30 * 24);

/// What a node is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// In service.
    Active,
    /// Read, and not written to.
    ReadOnly,
    /// Perhaps away, and not missed, for so long.
    Maintenance {
        /// From now on.
        duration: Duration,
    },
    /// The same, announced by the node itself as it stops: over when its next process joins.
    Stop {
        /// From now on.
        duration: Duration,
    },
    /// Emptied.
    Draining {
        /// What lies there now.
        bytes: u64,
    },
    /// Out of the cluster for ever.
    Removed,
}

impl Intent {
    fn state(self) -> NodeState {
        match self {
            Self::Active => NodeState::Active,
            Self::ReadOnly => NodeState::ReadOnly,
            Self::Maintenance { .. } | Self::Stop { .. } => NodeState::Maintenance,
            Self::Draining { .. } => NodeState::Draining,
            Self::Removed => NodeState::Removed,
        }
    }
}

/// The record of a node that is to be something else, when the wall clock says `now_ms`.
pub fn decide_intent(recorded: &Node, intent: Intent, now_ms: u64) -> Result<Node, Refusal> {
    let refused = |why: String| Err(Refusal::NodeRefused { why });
    let name = &recorded.name;
    match (recorded.intended_state, intent) {
        (NodeState::Removed, Intent::Removed) | (NodeState::Draining, Intent::Draining { .. }) => {
            return Ok(recorded.clone());
        }
        (NodeState::Removed, _) => {
            return refused(format!("{name} was removed for ever; wipe it to join as a new node"));
        }
        (NodeState::Draining, Intent::Maintenance { .. } | Intent::ReadOnly) => {
            return refused(format!("{name} is draining; end that first: cairn node undrain {name}"));
        }
        // What an administrator wants goes on through a restart.
        (NodeState::Draining | NodeState::ReadOnly, Intent::Stop { .. }) => return Ok(recorded.clone()),
        (NodeState::Maintenance, Intent::Stop { .. })
            if recorded.maintenance.is_some_and(|maintenance| !maintenance.until_joined) =>
        {
            return Ok(recorded.clone());
        }
        _ => {}
    }
    let maintenance = match intent {
        Intent::Maintenance { duration } => Some(checked(duration, now_ms)?),
        Intent::Stop { duration } => Some(Maintenance { until_joined: true, ..checked(duration, now_ms)? }),
        _ => None,
    };
    let drained_from_bytes = if let Intent::Draining { bytes } = intent { bytes } else { 0 };
    Ok(Node { intended_state: intent.state(), maintenance, drained_from_bytes, ..recorded.clone() })
}

fn checked(duration: Duration, now_ms: u64) -> Result<wire::Maintenance, Refusal> {
    if duration.is_zero() || duration > MAINTENANCE_LIMIT {
        let days = MAINTENANCE_LIMIT.as_secs() / 86_400;
        return Err(Refusal::InvalidRequest { why: format!("a maintenance lasts up to {days} days") });
    }
    let duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Ok(Maintenance { duration_ms, until_ms: now_ms.saturating_add(duration_ms), until_joined: false })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cairn_proto::Refusal;
    use cairn_proto::records::Node;
    use cairn_proto::wire::{Maintenance, NodeState};

    use super::{Intent, MAINTENANCE_LIMIT, decide_intent};
    use crate::fakes::node_record;

    const HOUR: Duration = Duration::from_hours(1);

    fn node(intended_state: NodeState) -> Node {
        Node { intended_state, ..node_record() }
    }

    #[test]
    fn a_maintenance_ends_by_itself_and_draining_remembers_where_it_began() {
        let active = node(NodeState::Active);
        let away = decide_intent(&active, Intent::Maintenance { duration: HOUR }, 5).unwrap();
        let expected = Maintenance { duration_ms: 3_600_000, until_ms: 3_600_005, until_joined: false };
        assert_eq!((away.intended_state, away.maintenance), (NodeState::Maintenance, Some(expected)));
        let draining = decide_intent(&away, Intent::Draining { bytes: 7 }, 6).unwrap();
        assert_eq!(
            (draining.intended_state, draining.maintenance, draining.drained_from_bytes),
            (NodeState::Draining, None, 7)
        );
        assert_eq!(decide_intent(&draining, Intent::Draining { bytes: 3 }, 7), Ok(draining.clone()));
        assert_eq!(decide_intent(&draining, Intent::Active, 8), Ok(active));
    }

    #[test]
    fn a_removed_node_stays_removed() {
        let removed = node(NodeState::Removed);
        assert_eq!(decide_intent(&removed, Intent::Removed, 1), Ok(removed.clone()));
        assert!(matches!(decide_intent(&removed, Intent::Active, 1), Err(Refusal::NodeRefused { .. })));
    }

    #[test]
    fn a_stop_takes_nothing_back_that_an_administrator_wants() {
        let stop = Intent::Stop { duration: HOUR };
        for wanted in [NodeState::Draining, NodeState::ReadOnly] {
            let node = node(wanted);
            assert_eq!(decide_intent(&node, stop, 1), Ok(node.clone()));
        }
        let planned = decide_intent(&node(NodeState::Active), Intent::Maintenance { duration: 2 * HOUR }, 1).unwrap();
        assert_eq!(decide_intent(&planned, stop, 2), Ok(planned.clone()));
        let stopped = decide_intent(&node(NodeState::Active), stop, 1).unwrap();
        assert!(stopped.maintenance.unwrap().until_joined);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for duration in [Duration::ZERO, MAINTENANCE_LIMIT + HOUR] {
            let refused = decide_intent(&node(NodeState::Active), Intent::Maintenance { duration }, 1);
            assert!(matches!(refused, Err(Refusal::InvalidRequest { .. })), "{refused:?}");
        }
        let refused = decide_intent(&node(NodeState::Draining), Intent::Maintenance { duration: HOUR }, 1);
        assert!(matches!(refused, Err(Refusal::NodeRefused { .. })), "{refused:?}");
    }
}
