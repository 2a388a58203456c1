use std::collections::HashSet;

use cairn_codec::Layout;
use cairn_proto::Refusal;
use cairn_proto::ids::SessionId;
use cairn_proto::records::Segment;
use cairn_proto::wire::NodeState;

use crate::failure::Failure;
use crate::keys;
use crate::scheduler::most_holes;
use crate::state::State;
use crate::store::StoreSession;

/// Refuses unless the segment may be sealed by this commit: no chunk missing but the few that may be, each other one on
/// a node of its own, registered, in the life that sealed it; or none at all, the bytes being kept with the record. The
/// commit rests on all that.
pub(super) fn check_sealed(
    session: &StoreSession,
    client: SessionId,
    segment: &Segment,
    layout: &Layout,
) -> Result<(), Failure> {
    if segment.transaction.session != client {
        return Err(invalid(format!("transaction {} is not of session {client}", segment.transaction)).into());
    }
    if segment.uses != 0 || segment.length_bytes == 0 || segment.length_bytes > layout.largest_length_bytes() {
        return Err(invalid("a segment to seal has uses 0 and a length that its layout can hold".to_owned()).into());
    }
    if segment.contents.is_none() {
        check_chunks(segment, layout)?;
    }
    let state = State(session);
    check_places(&state, segment)?;
    if state.exists(&keys::aborted(client, segment.id))? || state.exists(&keys::segment(segment.id))? {
        return Err(invalid(format!("segment {} was aborted or is sealed already", segment.id)).into());
    }
    Ok(())
}

fn check_chunks(segment: &Segment, layout: &Layout) -> Result<(), Refusal> {
    for (index, chunk) in segment.chunks.iter().enumerate() {
        let least = layout.chunk_size(segment.length_bytes, index);
        if chunk.cells < least.cells || chunk.length_bytes < least.length_bytes {
            return Err(invalid(format!("chunk {index} has too few cells for the segment's length")));
        }
    }
    let holes = segment.chunks.iter().filter(|chunk| chunk.is_hole()).count();
    if holes > most_holes(layout) {
        return Err(Refusal::TooFewNodes {
            needed: (layout.chunks() - most_holes(layout)).to_string(),
            serving: (layout.chunks() - holes).to_string(),
            missing: format!("{holes} chunks were not sealed"),
        });
    }
    Ok(())
}

fn check_places(state: &State<'_>, segment: &Segment) -> Result<(), Failure> {
    let mut nodes = HashSet::new();
    for place in segment.chunks.iter().filter_map(|chunk| chunk.place) {
        if !nodes.insert(place.node) {
            return Err(invalid(format!("two chunks on node {}", place.node)).into());
        }
        let node = state
            .node(place.node)?
            .filter(|node| node.record.intended_state != NodeState::Removed)
            .ok_or_else(|| invalid(format!("node {} is not registered", place.node)))?;
        if node.record.incarnation != place.incarnation {
            return Err(Refusal::WrongIncarnation { current: node.record.incarnation.to_string() }.into());
        }
    }
    Ok(())
}

fn invalid(why: String) -> Refusal {
    Refusal::InvalidRequest { why }
}
