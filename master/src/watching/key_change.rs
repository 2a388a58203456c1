use bytes::Bytes;
use cairn_proto::wire;
use cairn_proto::wire::ChangeKind;

use crate::blobs::Pattern;
use crate::failure::StateError;
use crate::state::{decode_entry, key_text};
use crate::store::Change;

/// What a change of a record is to those who watch keys that match `pattern`; `None`: nothing.
pub(super) fn key_change(change: &Change, pattern: &Pattern) -> Result<Option<wire::KeyChange>, StateError> {
    let key = key_text(&change.key)?;
    if !pattern.matches(&key) {
        return Ok(None);
    }
    let entry = |value: &Option<Bytes>| value.as_ref().map(|value| decode_entry(&change.key, value)).transpose();
    let (before, after) = (entry(&change.before)?, entry(&change.after)?);
    let kind = match (&before, &after) {
        (_, None) => ChangeKind::Removed,
        (None, Some(_)) => ChangeKind::Created,
        (Some(before), Some(after)) if before.blob == after.blob => ChangeKind::Attributes,
        (Some(_), Some(_)) => ChangeKind::Replaced,
    };
    Ok(Some(wire::KeyChange { index: change.index, key, kind: kind.into(), entry: after }))
}
