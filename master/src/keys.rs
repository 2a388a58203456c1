//! Names of the records in the replicated store. Numbers in a key are in network order, so that keys sort by them.

use bytes::Bytes;
use cairn_proto::ids::{BlobId, NodeId, SegmentId, SessionId};
use cairn_proto::records::Key;

/// `key/<key>`: what a key points at.
pub const KEYS: &[u8] = crate::store::WATCHED_PREFIX;
/// `blob/<blob>`: a blob, live or awaiting collection.
pub const BLOBS: &[u8] = b"blob/";
/// `segment/<segment>`: a sealed segment.
pub const SEGMENTS: &[u8] = b"segment/";
/// `session/<index>`: a live session; the index is that of the command that registered it.
pub const SESSIONS: &[u8] = b"session/";
/// `node/<node>`: a storage node.
pub const NODES: &[u8] = b"node/";
/// `node-events/<node>`: the latest of what happened to a storage node.
pub const NODE_EVENTS: &[u8] = b"node-events/";
/// `deleted/<index>`: the blob that the command at this index marked deleted, in order of deletion.
pub const DELETED: &[u8] = b"deleted/";
/// `garbage/<segment>`: places from which chunks of the segment are still to be deleted.
pub const GARBAGE: &[u8] = b"garbage/";
/// `repair/<segment>`: a segment with chunks to rebuild.
pub const REPAIRS: &[u8] = b"repair/";
/// `revoke/<session>`: an ended session that some node may not know of.
pub const REVOCATIONS: &[u8] = b"revoke/";
/// `serial`: serials below it may have been given out.
pub const SERIAL: &[u8] = b"serial";
/// `job/orphan-sweep`: how far the orphan sweep is; absent between two rounds.
pub const ORPHAN_SWEEP: &[u8] = b"job/orphan-sweep";
/// `kv/<key>`: a value of the public key-value service, as it is: no format version stands before it, so that bytes can
/// be added to it.
pub const VALUES: &[u8] = b"kv/";
/// `job/rebalance`: whether an administrator has stopped the rebalancing.
pub const REBALANCING: &[u8] = b"job/rebalance";
/// `cluster_epoch`: raised by a recovery; absent means 1.
pub const CLUSTER_EPOCH: &[u8] = b"cluster_epoch";

const ABORTED: &[u8] = b"aborted/";
const CLIENTS: &[u8] = b"client/";

/// Slots for replies of one client: as many requests may be unanswered.
pub const SLOTS_PER_CLIENT: u64 = 64;

fn joined(prefix: &[u8], rest: &[u8]) -> Bytes {
    [prefix, rest].concat().into()
}

/// The first key behind every key that starts with `prefix`.
pub fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    unreachable!("no prefix here consists of 0xff bytes alone")
}

/// The first key behind `key`.
pub fn successor(key: &[u8]) -> Bytes {
    joined(key, &[0])
}

/// Where an entry lies.
pub fn key(key: &Key) -> Bytes {
    joined(KEYS, key.as_str().as_bytes())
}

/// Where a value of the key-value service lies.
pub fn value(key: &Key) -> Bytes {
    joined(VALUES, key.as_str().as_bytes())
}

/// Where a blob lies.
pub fn blob(id: BlobId) -> Bytes {
    joined(BLOBS, id.as_bytes())
}

/// Where a segment lies.
pub fn segment(id: SegmentId) -> Bytes {
    joined(SEGMENTS, id.as_bytes())
}

/// Where a session lies.
pub fn session(id: SessionId) -> Bytes {
    joined(SESSIONS, &id.0.to_be_bytes())
}

/// Where a node lies.
pub fn node(id: NodeId) -> Bytes {
    joined(NODES, id.as_bytes())
}

/// Where the events of a node lie.
pub fn node_events(id: NodeId) -> Bytes {
    joined(NODE_EVENTS, id.as_bytes())
}

/// Where the deletion at `index` lies.
pub fn deleted(index: u64) -> Bytes {
    joined(DELETED, &index.to_be_bytes())
}

/// Where the places to clear of a segment lie.
pub fn garbage(id: SegmentId) -> Bytes {
    joined(GARBAGE, id.as_bytes())
}

/// Where the order to repair a segment lies.
pub fn repair(id: SegmentId) -> Bytes {
    joined(REPAIRS, id.as_bytes())
}

/// Where the revocation of a session lies.
pub fn revocation(id: SessionId) -> Bytes {
    joined(REVOCATIONS, &id.0.to_be_bytes())
}

/// Prefix of every mark that a segment of this session was aborted.
pub fn aborted_of(session: SessionId) -> Bytes {
    [ABORTED, session.0.to_be_bytes().as_slice(), b"/"].concat().into()
}

/// `aborted/<session>/<segment>`: the segment can never be committed.
pub fn aborted(session: SessionId, segment: SegmentId) -> Bytes {
    joined(&aborted_of(session), segment.as_bytes())
}

/// `client/<session>/<slot>`: the reply to the last request with this slot.
pub fn slot(client: SessionId, sequence: u64) -> Bytes {
    let slot = u8::try_from(sequence % SLOTS_PER_CLIENT).expect("a slot is below 64");
    [CLIENTS, client.0.to_be_bytes().as_slice(), b"/", &[slot]].concat().into()
}

/// Every slot of a client.
pub fn slots(client: SessionId) -> impl Iterator<Item = Bytes> {
    (0..SLOTS_PER_CLIENT).map(move |sequence| slot(client, sequence))
}

/// The number behind `prefix`, if there is one and nothing else.
pub fn number_in(prefix: &[u8], key: &[u8]) -> Option<u64> {
    key.strip_prefix(prefix)?.try_into().ok().map(u64::from_be_bytes)
}

/// The 16 bytes behind `prefix`, if there are just so many.
pub fn id_in(prefix: &[u8], key: &[u8]) -> Option<[u8; 16]> {
    key.strip_prefix(prefix)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{DELETED, SEGMENTS, aborted, aborted_of, deleted, end_of, id_in, number_in, segment, slots, successor};
    use cairn_proto::ids::{SegmentId, SessionId};

    #[test]
    fn deletions_sort_by_index() {
        assert!(deleted(255) < deleted(256));
        assert_eq!(number_in(DELETED, &deleted(77)), Some(77));
    }

    #[test]
    fn a_prefix_ends_behind_all_of_its_keys() {
        let id = SegmentId::from_bytes([0xff; 16]);
        assert!(segment(id) < end_of(SEGMENTS));
        assert!(successor(&segment(id)) < end_of(SEGMENTS));
        assert_eq!(id_in(SEGMENTS, &segment(id)), Some([0xff; 16]));
        assert_eq!(end_of(&[1, 0xff]).as_ref(), [2]);
    }

    #[test]
    fn marks_and_slots_of_sessions_do_not_mix() {
        let id = SegmentId::generate();
        assert!(!aborted(SessionId(256), id).starts_with(&aborted_of(SessionId(1))));
        let distinct = slots(SessionId(1)).chain(slots(SessionId(2))).collect::<std::collections::HashSet<_>>();
        assert_eq!(distinct.len(), 128);
    }
}
