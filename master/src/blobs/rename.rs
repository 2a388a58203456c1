use cairn_proto::records::Key;
use cairn_proto::{Refusal, wire};

use super::retire::retire;
use crate::failure::Failure;
use crate::keys;
use crate::requests::Plan;
use crate::state::{State, encode, unchanged};
use crate::store::Command;

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

/// Plans the command that moves an entry to another key; a blob that this key pointed at is marked deleted. A key
/// renamed to itself stays as it is.
pub fn plan_rename(
    state: &State<'_>,
    request: &RenameRequest,
    now_ms: u64,
) -> Result<Plan<wire::RenameResponse>, Failure> {
    let source = state.entry(&request.from)?;
    let Some(moved) = &source else {
        return Err(Refusal::KeyNotFound { key: request.from.to_string() }.into());
    };
    let target = state.entry(&request.to)?;
    if request.no_replace && target.is_some() {
        return Err(Refusal::KeyExists { key: request.to.to_string() }.into());
    }
    let mut command = Command::new();
    let (from, to) = (keys::key(&request.from), keys::key(&request.to));
    command.require(from.clone(), unchanged(source.as_ref()));
    if request.from != request.to {
        if let Some(replaced) = &target {
            retire(state, replaced.record.blob, &to, now_ms, &mut command)?;
        }
        command.put_if(to, encode(&wire::KeyEntry::from(moved.record)), unchanged(target.as_ref()));
        command.delete(from);
    }
    Ok(Plan { command, reply: wire::RenameResponse::default() })
}
