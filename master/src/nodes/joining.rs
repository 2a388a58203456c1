use cairn_proto::ids::ClusterId;
use cairn_proto::records::Node;
use cairn_proto::wire::NodeState;
use cairn_proto::{Refusal, wire};

/// Longest name, address or label text.
const TEXT_LIMIT_BYTES: usize = 256;
/// Labels and devices of a node.
const LIST_LIMIT: usize = 64;

/// What to do with a node that wants to join.
#[derive(Debug, Clone, PartialEq)]
pub enum JoinDecision {
    /// Write this record.
    Register(Node),
    /// Write it only if nobody answers for the same node where the record says it is.
    RegisterUnlessAlive(Node),
    /// The record says all of this already.
    Known(Node),
}

/// Decides about a node that wants to join, given its record if it has one.
pub fn decide_join(
    ours: ClusterId,
    theirs: Option<ClusterId>,
    recorded: Option<&Node>,
    joining: wire::NodeInfo,
) -> Result<JoinDecision, Refusal> {
    if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
        return Err(Refusal::ForeignCluster { ours: ours.to_string(), theirs: theirs.to_string() });
    }
    let mut node = checked(joining)?;
    node.intended_state = recorded.map_or(NodeState::Active, |recorded| recorded.intended_state);
    node.maintenance = recorded.and_then(|recorded| recorded.maintenance);
    node.drained_from_bytes = recorded.map_or(0, |recorded| recorded.drained_from_bytes);
    let is_next_life = recorded.is_some_and(|recorded| recorded.boot != node.boot);
    if is_next_life && node.maintenance.is_some_and(|maintenance| maintenance.until_joined) {
        (node.intended_state, node.maintenance) = (NodeState::Active, None);
    }
    node.state = node.intended_state;
    node.devices = Vec::new();
    match recorded {
        Some(recorded) if recorded.intended_state == NodeState::Removed => {
            Err(invalid(format!("node {} was removed from the cluster; wipe it to join as a new one", node.id)))
        }
        Some(recorded) if *recorded == node => Ok(JoinDecision::Known(node)),
        Some(recorded) if recorded.address != node.address => Ok(JoinDecision::RegisterUnlessAlive(node)),
        _ => Ok(JoinDecision::Register(node)),
    }
}

fn checked(joining: wire::NodeInfo) -> Result<Node, Refusal> {
    let node = Node::try_from(joining)?;
    let texts = node.locality.iter().flat_map(|label| [&label.key, &label.value]).chain([&node.name, &node.address]);
    for text in texts {
        if text.is_empty() || text.len() > TEXT_LIMIT_BYTES {
            return Err(invalid(format!("a name, address or label of 1 to {TEXT_LIMIT_BYTES} bytes is needed")));
        }
    }
    if node.locality.len() > LIST_LIMIT || node.devices.len() > LIST_LIMIT {
        return Err(invalid(format!("at most {LIST_LIMIT} labels and devices are kept")));
    }
    let port_given = node.address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !port_given {
        return Err(invalid(format!("{:?} is no address: write host:port", node.address)));
    }
    Ok(node)
}

fn invalid(why: String) -> Refusal {
    Refusal::InvalidRequest { why }
}

#[cfg(test)]
mod tests {
    use super::{JoinDecision, decide_join};
    use cairn_proto::Refusal;
    use cairn_proto::ids::{BootId, ClusterId, IncarnationId, NodeId};
    use cairn_proto::records::Node;
    use cairn_proto::wire::{self, NodeState};

    fn joining() -> wire::NodeInfo {
        wire::NodeInfo {
            id: NodeId::generate().to_wire(),
            incarnation: IncarnationId::generate().to_wire(),
            boot: BootId::generate().to_wire(),
            name: "node-1".to_owned(),
            address: "127.0.0.1:7101".to_owned(),
            ..wire::NodeInfo::default()
        }
    }

    fn decide(recorded: Option<&Node>, info: &wire::NodeInfo) -> Result<JoinDecision, Refusal> {
        decide_join(ClusterId::from_bytes([1; 16]), None, recorded, info.clone())
    }

    fn registered(info: &wire::NodeInfo) -> Node {
        match decide(None, info).unwrap() {
            JoinDecision::Register(node) => node,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_node_is_registered_as_active() {
        assert_eq!(registered(&joining()).state, NodeState::Active);
    }

    #[test]
    fn a_node_of_another_cluster_is_refused() {
        let (ours, theirs) = (ClusterId::generate(), ClusterId::generate());
        assert!(matches!(decide_join(ours, Some(theirs), None, joining()), Err(Refusal::ForeignCluster { .. })));
        assert!(decide_join(ours, Some(ours), None, joining()).is_ok());
    }

    #[test]
    fn a_node_that_moves_must_not_be_alive_where_it_was() {
        let mut info = joining();
        let recorded = registered(&info);
        assert_eq!(decide(Some(&recorded), &info), Ok(JoinDecision::Known(recorded.clone())));
        info.address = "127.0.0.1:7999".to_owned();
        assert!(matches!(decide(Some(&recorded), &info), Ok(JoinDecision::RegisterUnlessAlive(_))));
    }

    #[test]
    fn a_wiped_node_is_registered_under_its_new_incarnation() {
        let mut info = joining();
        let recorded = registered(&info);
        info.incarnation = IncarnationId::generate().to_wire();
        let Ok(JoinDecision::Register(node)) = decide(Some(&recorded), &info) else { panic!("it is registered") };
        assert_ne!(node.incarnation, recorded.incarnation);
    }

    #[test]
    fn what_an_administrator_wants_outlives_a_restart() {
        let mut info = joining();
        let mut recorded = registered(&info);
        recorded.intended_state = NodeState::Draining;
        info.boot = BootId::generate().to_wire();
        let Ok(JoinDecision::Register(node)) = decide(Some(&recorded), &info) else { panic!("it is registered") };
        assert_eq!(node.intended_state, NodeState::Draining);
        recorded.intended_state = NodeState::Removed;
        assert!(decide(Some(&recorded), &info).is_err());
    }

    #[test]
    fn a_maintenance_for_a_stop_ends_with_the_next_life_and_one_for_a_time_does_not() {
        let mut info = joining();
        let mut recorded = registered(&info);
        recorded.intended_state = NodeState::Maintenance;
        recorded.maintenance = Some(wire::Maintenance { duration_ms: 9, until_ms: 9, until_joined: true });
        let same = decide(Some(&recorded), &info).unwrap();
        let JoinDecision::Register(node) = same else { panic!("its state is not recorded yet: {same:?}") };
        assert_eq!(node.intended_state, NodeState::Maintenance);
        info.boot = BootId::generate().to_wire();
        let Ok(JoinDecision::Register(node)) = decide(Some(&recorded), &info) else { panic!("it is registered") };
        assert_eq!((node.intended_state, node.maintenance), (NodeState::Active, None));
        recorded.maintenance = Some(wire::Maintenance { duration_ms: 9, until_ms: 9, until_joined: false });
        let Ok(JoinDecision::Register(node)) = decide(Some(&recorded), &info) else { panic!("it is registered") };
        assert_eq!((node.intended_state, node.maintenance), (NodeState::Maintenance, recorded.maintenance));
    }

    #[test]
    fn addresses_without_a_port_and_empty_names_are_refused() {
        for (name, address) in [("node-1", "localhost"), ("", "127.0.0.1:1"), ("node-1", "a:99999")] {
            let info = wire::NodeInfo { name: name.to_owned(), address: address.to_owned(), ..joining() };
            assert!(matches!(decide(None, &info), Err(Refusal::InvalidRequest { .. })), "{name} {address}");
        }
    }
}
