use bytes::Bytes;
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Blob, BlobState};
use cairn_proto::wire;

use crate::failure::Failure;
use crate::keys;
use crate::records::DeletedRecord;
use crate::state::{State, damaged, encode};
use crate::store::StoreSession;

/// Marks a blob deleted that a key stops pointing at, and queues it for collection under the index of the command.
///
/// The index is not known yet, so the record keeps 0; whoever reads it takes the version of the record, which nothing
/// writes again until it is dropped.
pub(super) fn retire(session: &mut StoreSession, id: BlobId, pointed_from: &Bytes, now_ms: u64) -> Result<(), Failure> {
    let found = State(session).blob(id)?;
    let Some(stored) = found.filter(|found| found.record.state == BlobState::Live) else {
        let why = format!("it points at {id}, which is no live blob");
        return Err(Failure::State(damaged(pointed_from, &why).into()));
    };
    let deleted = Blob { state: BlobState::Deleted { index: 0, at_ms: now_ms }, ..stored.record };
    session.put(keys::blob(id), encode(&wire::Blob::from(&deleted)));
    session.put_at_index(keys::DELETED, encode(&DeletedRecord { blob: id.to_wire() }));
    Ok(())
}
