use std::fs;
use std::io;
use std::path::Path;

use cairn_proto::ids::{ClusterId, MasterId};
use cairn_proto::storage::replace_file;
use serde::{Deserialize, Serialize};

/// Format of the directory that this program writes, and the newest it reads. From 2 on the log has a journal, without
/// which it is not whole.
const FORMAT: u32 = 2;
const FILE: &str = "identity.toml";

/// Whose directory it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Raft id of the master.
    pub(crate) master: u64,
    /// This disk, for ever.
    pub(crate) id: MasterId,
    /// The cluster, once there is one.
    pub(crate) cluster: Option<ClusterId>,
}

/// Why an identity cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("cannot read or write {FILE}: {0}")]
    File(#[from] io::Error),
    /// The file is not what any master writes.
    #[error("{FILE} is damaged: {why}")]
    Damaged {
        /// What is wrong.
        why: String,
    },
    /// The directory was written by a newer program.
    #[error("the directory has format {found}, this program knows formats up to {FORMAT}: use the newer program")]
    NewerFormat {
        /// Format found.
        found: u32,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u32,
    master: u64,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

#[derive(Deserialize)]
struct StoredFormat {
    format: u32,
}

impl Identity {
    /// A new one; nothing is written yet.
    pub(crate) fn generate(master: u64) -> Self {
        Self { master, id: MasterId::generate(), cluster: None }
    }

    /// Reads the identity of a directory, if it has one.
    pub(crate) fn read(root: &Path) -> Result<Option<Self>, IdentityError> {
        let text = match fs::read_to_string(root.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let StoredFormat { format } = parse(&text)?;
        if format > FORMAT {
            return Err(IdentityError::NewerFormat { found: format });
        }
        let stored: Stored = parse(&text)?;
        let cluster = stored.cluster.as_deref().map(str::parse).transpose().map_err(damaged)?;
        Ok(Some(Self { master: stored.master, id: stored.id.parse().map_err(damaged)?, cluster }))
    }

    /// Keeps earlier programs from the directory it was read from, if they could still read it; that is on stable storage
    /// when this returns.
    pub(crate) fn raise_format(&self, root: &Path) -> Result<(), IdentityError> {
        let StoredFormat { format } = parse(&fs::read_to_string(root.join(FILE))?)?;
        if format < FORMAT { self.write(root) } else { Ok(()) }
    }

    /// Writes the identity; it is on stable storage when this returns.
    pub(crate) fn write(&self, root: &Path) -> Result<(), IdentityError> {
        let stored = Stored {
            format: FORMAT,
            master: self.master,
            id: self.id.to_string(),
            cluster: self.cluster.map(|cluster| cluster.to_string()),
        };
        let text = toml::to_string(&stored).map_err(damaged)?;
        Ok(replace_file(&root.join(FILE), text.as_bytes())?)
    }
}

fn parse<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, IdentityError> {
    toml::from_str(text).map_err(damaged)
}

fn damaged(error: impl std::fmt::Display) -> IdentityError {
    IdentityError::Damaged { why: error.to_string() }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::ClusterId;

    use super::{FILE, Identity, IdentityError};

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Identity::read(dir.path()).unwrap().is_none());
        let mut identity = Identity::generate(3);
        identity.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity));
        identity.cluster = Some(ClusterId::generate());
        identity.write(dir.path()).unwrap();
        assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity));
    }

    #[test]
    fn an_earlier_format_is_read_and_raised() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(FILE);
        let identity = Identity::generate(3);
        identity.write(dir.path()).unwrap();
        let current = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, current.replace("format = 2", "format = 1")).unwrap();
        for _ in 0..2 {
            assert_eq!(Identity::read(dir.path()).unwrap(), Some(identity));
            identity.raise_format(dir.path()).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), current);
        }
    }

    #[test]
    fn damage_and_newer_formats_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "format = 3\nsomething = 'new'\n").unwrap();
        assert!(matches!(Identity::read(dir.path()), Err(IdentityError::NewerFormat { found: 3 })));
        for text in ["", "format = 1", "format = 2\nmaster = 1\nid = 'x'", "\u{0}"] {
            std::fs::write(dir.path().join(FILE), text).unwrap();
            assert!(matches!(Identity::read(dir.path()), Err(IdentityError::Damaged { .. })), "{text:?}");
        }
    }
}
