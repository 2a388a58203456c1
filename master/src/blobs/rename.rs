use cairn_proto::records::Key;
use cairn_proto::{Refusal, wire};

use super::Overwrite;
use super::retire::retire;
use crate::failure::Failure;
use crate::keys;
use crate::state::{State, encode};
use crate::store::StoreSession;

/// A request to rename a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenameRequest {
    /// The key that exists.
    pub from: Key,
    /// Its new name.
    pub to: Key,
    /// Refuse if the new name exists.
    pub no_replace: bool,
}

impl TryFrom<wire::RenameRequest> for RenameRequest {
    type Error = Refusal;

    fn try_from(request: wire::RenameRequest) -> Result<Self, Refusal> {
        Ok(Self { from: request.from.try_into()?, to: request.to.try_into()?, no_replace: request.no_replace })
    }
}

/// Moves an entry to another key; a blob that this key pointed at is marked deleted, if keys are overwritten. A key
/// renamed to itself stays as it is.
pub fn plan_rename(
    session: &mut StoreSession,
    request: &RenameRequest,
    overwrite: Overwrite,
    now_ms: u64,
) -> Result<wire::RenameResponse, Failure> {
    let Some(moved) = State(session).entry(&request.from)? else {
        return Err(Refusal::KeyNotFound { key: request.from.to_string() }.into());
    };
    let target = State(session).entry(&request.to)?;
    let may_replace = overwrite == Overwrite::Replace || request.from == request.to;
    if target.is_some() && (request.no_replace || !may_replace) {
        return Err(Refusal::KeyExists { key: request.to.to_string() }.into());
    }
    if request.from != request.to {
        let to = keys::key(&request.to);
        if let Some(replaced) = &target {
            retire(session, replaced.record.blob, &to, now_ms)?;
        }
        session.put(to, encode(&wire::KeyEntry::from(moved.record)));
        session.delete(keys::key(&request.from));
    }
    Ok(wire::RenameResponse::default())
}
