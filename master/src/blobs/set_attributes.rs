use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Key, KeyEntry};
use cairn_proto::wire;

use super::Precondition;
use crate::failure::Failure;
use crate::keys;
use crate::state::{State, encode};
use crate::store::StoreSession;

/// Changes the attributes of a key which still points at `blob`.
pub fn plan_set_attributes(
    session: &mut StoreSession,
    key: &Key,
    blob: BlobId,
    attributes: Attributes,
) -> Result<wire::SetAttributesResponse, Failure> {
    let current = State(session).entry(key)?.map(|found| found.record);
    Precondition::Blob(blob).check(key, current.as_ref())?;
    let changed = current.map(|entry| wire::KeyEntry::from(KeyEntry { attributes, ..entry }));
    if let Some(changed) = &changed {
        session.put(keys::key(key), encode(changed));
    }
    Ok(wire::SetAttributesResponse { entry: changed, applied_index: 0 })
}
