use cairn_proto::records::Key;
use cairn_proto::{Refusal, wire};

use super::Precondition;
use super::retire::retire;
use crate::failure::Failure;
use crate::keys;
use crate::state::State;
use crate::store::StoreSession;

/// Removes a key and marks its blob deleted.
pub fn plan_delete(
    session: &mut StoreSession,
    key: &Key,
    precondition: Precondition,
    now_ms: u64,
) -> Result<wire::DeleteResponse, Failure> {
    let Some(entry) = State(session).entry(key)? else {
        return Err(Refusal::KeyNotFound { key: key.to_string() }.into());
    };
    precondition.check(key, Some(&entry.record))?;
    let at = keys::key(key);
    retire(session, entry.record.blob, &at, now_ms)?;
    session.delete(at);
    Ok(wire::DeleteResponse::default())
}
