use std::collections::HashSet;

use cairn_proto::ids::{IncarnationId, NodeId};
use cairn_proto::{Refusal, wire};

use super::request::{WriteTarget, invalid};
use crate::relay::RelayTarget;
use crate::store::Target;

/// The copies that cells of `target` are to be passed on to: other chunks of its segment and transaction, at other nodes
/// than this one.
pub(super) fn relay_targets(
    this: NodeId,
    target: &Target,
    relays: Vec<wire::RelayTarget>,
) -> Result<Vec<RelayTarget>, Refusal> {
    let mut taken = HashSet::from([this]);
    let mut chunks = HashSet::from([target.chunk_index]);
    let checked = relays.into_iter().map(|relay| {
        let relayed = relay_target(target, relay)?;
        if !taken.insert(relayed.node) || !chunks.insert(relayed.chunk_index) {
            return Err(invalid("two copies at one node, or of one chunk"));
        }
        Ok(relayed)
    });
    checked.collect()
}

fn relay_target(target: &Target, relay: wire::RelayTarget) -> Result<RelayTarget, Refusal> {
    let chunk = relay.target.ok_or_else(|| invalid("target of a relay is missing"))?;
    let checked = WriteTarget::try_from(Some(chunk.clone()))?.target;
    if checked.segment != target.segment || checked.transaction != target.transaction {
        return Err(invalid("cells are passed on within their segment and transaction"));
    }
    Ok(RelayTarget {
        node: NodeId::from_wire(&relay.node)?,
        incarnation: IncarnationId::from_wire(&chunk.incarnation)?,
        chunk_index: checked.chunk_index,
        chunk,
    })
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{BootId, IncarnationId, NodeId, SegmentId, SessionId, TransactionId};
    use cairn_proto::wire;

    use super::relay_targets;
    use crate::store::Target;

    fn relay(target: &Target, chunk_index: u8) -> wire::RelayTarget {
        let chunk = wire::ChunkTarget {
            transaction: Some(target.transaction.into()),
            segment: target.segment.to_wire(),
            chunk_index: u32::from(chunk_index),
            incarnation: IncarnationId::generate().to_wire(),
            boot: BootId::generate().to_wire(),
        };
        wire::RelayTarget { node: NodeId::generate().to_wire(), target: Some(chunk) }
    }

    fn target() -> Target {
        let transaction = TransactionId { session: SessionId(1), sequence: 1 };
        Target { segment: SegmentId::generate(), transaction, chunk_index: 0 }
    }

    #[test]
    fn copies_at_other_nodes_are_passed_on_to() {
        let target = target();
        let relays = vec![relay(&target, 1), relay(&target, 2)];
        let checked = relay_targets(NodeId::generate(), &target, relays.clone()).unwrap();
        assert_eq!(checked.iter().map(|relay| relay.chunk_index).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(checked[0].node.to_wire(), relays[0].node);
    }

    #[test]
    fn what_no_correct_client_asks_for_is_refused() {
        let (this, target) = (NodeId::generate(), target());
        let other = Target { segment: SegmentId::generate(), ..target };
        let to_itself = wire::RelayTarget { node: this.to_wire(), ..relay(&target, 1) };
        let twice = relay(&target, 1);
        let again = wire::RelayTarget { target: relay(&target, 2).target, ..twice.clone() };
        for relays in [
            vec![relay(&other, 1)],
            vec![relay(&target, 0)],
            vec![relay(&target, 1), relay(&target, 1)],
            vec![twice, again],
            vec![to_itself],
            vec![wire::RelayTarget::default()],
        ] {
            assert!(relay_targets(this, &target, relays.clone()).is_err(), "{relays:?}");
        }
    }
}
