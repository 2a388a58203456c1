use cairn_proto::Refusal;
use cairn_proto::ids::SessionId;
use cairn_proto::records::{Key, KeyEntry};
use serde::Deserialize;

use super::Precondition;
use crate::failure::Failure;
use crate::state::State;

/// What becomes of a key that exists when a file is written under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overwrite {
    /// The key is pointed at the new blob.
    #[default]
    Replace,
    /// Write once, read many: refused. Keys can be deleted, and what is not closed yet can be committed once more.
    Worm,
}

impl Overwrite {
    /// Refuses to open a file for writing under a key that exists, unless it goes on from what the key has. Whether
    /// that was the client's own is seen when it commits.
    pub fn check_opening(self, key: &Key, entry: Option<&KeyEntry>, precondition: Precondition) -> Result<(), Refusal> {
        match (self, entry) {
            (Self::Worm, Some(entry)) if precondition != Precondition::Blob(entry.blob) => Err(exists(key)),
            (Self::Worm | Self::Replace, _) => Ok(()),
        }
    }

    /// Refuses to point a key elsewhere, unless `client` committed what it has now and names that.
    pub(super) fn check_commit(
        self,
        state: &State<'_>,
        key: &Key,
        entry: Option<&KeyEntry>,
        precondition: Precondition,
        client: SessionId,
    ) -> Result<(), Failure> {
        self.check_opening(key, entry, precondition)?;
        let (Self::Worm, Some(entry)) = (self, entry) else { return Ok(()) };
        let own = state.blob(entry.blob)?.is_some_and(|found| found.record.session == client);
        if own { Ok(()) } else { Err(exists(key).into()) }
    }
}

fn exists(key: &Key) -> Refusal {
    Refusal::KeyExists { key: key.to_string() }
}
