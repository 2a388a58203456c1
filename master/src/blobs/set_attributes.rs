use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Key, KeyEntry};
use cairn_proto::wire;

use super::Precondition;
use crate::failure::Failure;
use crate::keys;
use crate::requests::Plan;
use crate::state::{State, encode, unchanged};
use crate::store::Command;

/// Plans the command that changes the attributes of a key which still points at `blob`.
pub fn plan_set_attributes(
    state: &State<'_>,
    key: &Key,
    blob: BlobId,
    attributes: Attributes,
) -> Result<Plan<wire::SetAttributesResponse>, Failure> {
    let entry = state.entry(key)?;
    let current = entry.as_ref().map(|found| found.record);
    Precondition::Blob(blob).check(key, current.as_ref())?;
    let changed = current.map(|entry| wire::KeyEntry::from(KeyEntry { attributes, ..entry }));
    let mut command = Command::new();
    if let Some(changed) = &changed {
        command.put_if(keys::key(key), encode(changed), unchanged(entry.as_ref()));
    }
    Ok(Plan { command, reply: wire::SetAttributesResponse { entry: changed, applied_index: 0 } })
}
