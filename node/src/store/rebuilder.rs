use cairn_proto::ids::{SessionId, TransactionId};

/// Writes rebuilt chunks: no client's session, so no client's end takes them away.
const REBUILDER: SessionId = SessionId(u64::MAX);

/// The writer of what is rebuilt on the order of the state at log index `ordered_at`.
pub(crate) fn rebuilder(ordered_at: u64) -> TransactionId {
    TransactionId { session: REBUILDER, sequence: ordered_at }
}

/// Whether both write the same chunk: an order to rebuild that comes again may rest on a later state.
pub(crate) fn is_same_writer(one: TransactionId, other: TransactionId) -> bool {
    one == other || (one.session == REBUILDER && other.session == REBUILDER)
}

/// Whether it was rebuilt on a later state than a deletion was decided on: what was meant to be deleted is gone, and this
/// is another chunk in its place.
pub(crate) fn outlives(writer: TransactionId, deleted_at: u64) -> bool {
    writer.session == REBUILDER && writer.sequence > deleted_at
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::{SessionId, TransactionId};

    use super::{is_same_writer, outlives, rebuilder};

    #[test]
    fn only_what_was_rebuilt_later_outlives_a_deletion() {
        assert!(outlives(rebuilder(8), 7));
        assert!(!outlives(rebuilder(7), 7) && !outlives(rebuilder(6), 7));
        assert!(!outlives(TransactionId { session: SessionId(3), sequence: 8 }, 7));
    }

    #[test]
    fn orders_to_rebuild_of_any_state_are_one_writer() {
        let client = TransactionId { session: SessionId(3), sequence: 8 };
        assert!(is_same_writer(rebuilder(1), rebuilder(2)) && is_same_writer(client, client));
        assert!(!is_same_writer(rebuilder(8), client));
        assert!(!is_same_writer(TransactionId { sequence: 9, ..client }, client));
    }
}
