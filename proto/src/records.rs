//! Records as both sides use them: checked, with typed ids. The wire form is in [`crate::wire`].

mod blob;
mod kept_contents;
mod key;
mod key_change;
mod node;
mod segment;

pub use blob::{Blob, BlobState, Extent};
pub use kept_contents::{KEPT_CONTENTS_LIMIT_BYTES, KeptContents};
pub use key::{Attributes, InvalidKey, KEY_LIMIT_BYTES, Key, KeyEntry};
pub use key_change::{KeyChange, KeyEvent};
pub use node::Node;
pub use segment::{Chunk, ChunkPlace, Segment};

use crate::Refusal;

/// A field that a message must have and does not.
pub(crate) fn missing(field: &str) -> Refusal {
    Refusal::InvalidRequest { why: format!("{field} is missing") }
}

/// A digest field of exactly 32 bytes.
pub(crate) fn digest(field: &str, bytes: &[u8]) -> Result<[u8; 32], Refusal> {
    bytes.try_into().map_err(|_| Refusal::InvalidRequest { why: format!("{field} has {} bytes, not 32", bytes.len()) })
}
