use crate::ids::BlobId;
use crate::{Refusal, wire};

/// Longest key in bytes.
pub const KEY_LIMIT_BYTES: usize = 1024;

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    /// Keys have at least one byte.
    #[error("a key may not be empty")]
    Empty,
    /// Longer than [`KEY_LIMIT_BYTES`].
    #[error("a key has at most {KEY_LIMIT_BYTES} bytes, this one {0}")]
    TooLong(usize),
    /// Contains a NUL byte.
    #[error("a key may not contain a NUL byte")]
    Nul,
}

/// Name of a blob: UTF-8, 1 to 1,024 bytes, no NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Key {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        if text.is_empty() {
            return Err(InvalidKey::Empty);
        }
        if text.len() > KEY_LIMIT_BYTES {
            return Err(InvalidKey::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(InvalidKey::Nul);
        }
        Ok(Self(text))
    }
}

impl TryFrom<&str> for Key {
    type Error = InvalidKey;

    fn try_from(text: &str) -> Result<Self, InvalidKey> {
        text.to_owned().try_into()
    }
}

impl From<InvalidKey> for Refusal {
    fn from(error: InvalidKey) -> Self {
        Self::InvalidKey { why: error.to_string() }
    }
}

/// What may change of a committed file without a new blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Permission bits, 12 at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time, seconds since 1970.
    pub mtime_seconds: i64,
    /// And nanoseconds, below 10^9.
    pub mtime_nanoseconds: u32,
}

impl TryFrom<wire::Attributes> for Attributes {
    type Error = Refusal;

    fn try_from(attributes: wire::Attributes) -> Result<Self, Refusal> {
        if attributes.mtime_nanoseconds >= 1_000_000_000 {
            return Err(Refusal::InvalidRequest { why: "mtime with a second or more of nanoseconds".to_owned() });
        }
        Ok(Self {
            mode: attributes.mode & 0o7777,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime_seconds: attributes.mtime_seconds,
            mtime_nanoseconds: attributes.mtime_nanoseconds,
        })
    }
}

impl From<Attributes> for wire::Attributes {
    fn from(attributes: Attributes) -> Self {
        Self {
            mode: attributes.mode,
            uid: attributes.uid,
            gid: attributes.gid,
            mtime_seconds: attributes.mtime_seconds,
            mtime_nanoseconds: attributes.mtime_nanoseconds,
        }
    }
}

/// What a key points at, with all that a listing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    /// The blob.
    pub blob: BlobId,
    /// Its serial.
    pub serial: u64,
    /// Its length.
    pub size_bytes: u64,
    /// Attributes of the file.
    pub attributes: Attributes,
}

impl TryFrom<wire::KeyEntry> for KeyEntry {
    type Error = Refusal;

    fn try_from(entry: wire::KeyEntry) -> Result<Self, Refusal> {
        Ok(Self {
            blob: BlobId::from_wire(&entry.blob)?,
            serial: entry.serial,
            size_bytes: entry.size_bytes,
            attributes: entry.attributes.ok_or_else(|| super::missing("attributes of an entry"))?.try_into()?,
        })
    }
}

impl From<KeyEntry> for wire::KeyEntry {
    fn from(entry: KeyEntry) -> Self {
        Self {
            blob: entry.blob.to_wire(),
            serial: entry.serial,
            size_bytes: entry.size_bytes,
            attributes: Some(entry.attributes.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidKey, KEY_LIMIT_BYTES, Key};

    #[test]
    fn keys_are_checked() {
        assert!(Key::try_from("photo/2026.jpg").is_ok());
        assert_eq!(Key::try_from(""), Err(InvalidKey::Empty));
        assert_eq!(Key::try_from("a\0b"), Err(InvalidKey::Nul));
        assert!(Key::try_from("k".repeat(KEY_LIMIT_BYTES)).is_ok());
        assert_eq!(Key::try_from("k".repeat(KEY_LIMIT_BYTES + 1)), Err(InvalidKey::TooLong(KEY_LIMIT_BYTES + 1)));
    }
}
