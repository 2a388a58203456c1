use cairn_proto::records::Key;
use cairn_proto::{Refusal, wire};

use super::Precondition;
use super::retire::retire;
use crate::failure::Failure;
use crate::keys;
use crate::requests::Plan;
use crate::state::{State, unchanged};
use crate::store::Command;

/// Plans the command that removes a key and marks its blob deleted.
pub fn plan_delete(
    state: &State<'_>,
    key: &Key,
    precondition: Precondition,
    now_ms: u64,
) -> Result<Plan<wire::DeleteResponse>, Failure> {
    let entry = state.entry(key)?;
    let Some(found) = &entry else {
        return Err(Refusal::KeyNotFound { key: key.to_string() }.into());
    };
    precondition.check(key, Some(&found.record))?;
    let mut command = Command::new();
    let at = keys::key(key);
    retire(state, found.record.blob, &at, now_ms, &mut command)?;
    command.require(at.clone(), unchanged(entry.as_ref()));
    command.delete(at);
    Ok(Plan { command, reply: wire::DeleteResponse::default() })
}
