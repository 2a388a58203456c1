use bytes::{Bytes, BytesMut};

use super::ReadError;

/// Bytes of the version in front of a stored value.
const VERSION_BYTES: usize = size_of::<u64>();

/// A value and the command that wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// Log index of the command that last wrote the key.
    pub version: u64,
    /// The value.
    pub value: Bytes,
}

impl Versioned {
    /// As it is stored: 8 bytes of version in network order, then the value.
    pub(crate) fn encode(&self) -> Bytes {
        let mut stored = BytesMut::with_capacity(VERSION_BYTES + self.value.len());
        stored.extend_from_slice(&self.version.to_be_bytes());
        stored.extend_from_slice(&self.value);
        stored.freeze()
    }

    /// From its stored form.
    pub(crate) fn decode(mut stored: Bytes) -> Result<Self, ReadError> {
        if stored.len() < VERSION_BYTES {
            return Err(ReadError::Damaged { what: format!("a stored value of {} bytes", stored.len()) });
        }
        let value = stored.split_off(VERSION_BYTES);
        let mut version = [0; VERSION_BYTES];
        version.copy_from_slice(&stored);
        Ok(Self { version: u64::from_be_bytes(version), value })
    }
}
