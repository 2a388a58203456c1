use bytes::Bytes;

use crate::Refusal;

/// Most bytes that the masters keep in the record of a segment.
pub const KEPT_CONTENTS_LIMIT_BYTES: usize = 4096;

/// All user bytes of a segment so small that the masters keep them with its record: at least one, at most
/// [`KEPT_CONTENTS_LIMIT_BYTES`], with a checksum that goes with them from the writer to every reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptContents {
    bytes: Bytes,
    crc32c: u32,
}

impl KeptContents {
    /// `None` for no bytes and for too many.
    #[must_use]
    pub fn new(bytes: Bytes) -> Option<Self> {
        let crc32c = crc32c::crc32c(&bytes);
        (1..=KEPT_CONTENTS_LIMIT_BYTES).contains(&bytes.len()).then_some(Self { bytes, crc32c })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What a record says: `None` if its bytes are on nodes. Refused if the bytes are not those that were written.
    pub(super) fn from_wire(bytes: Bytes, crc32c: u32) -> Result<Option<Self>, Refusal> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let length = bytes.len();
        let contents = Self::new(bytes).ok_or_else(|| {
            invalid(format!("{length} bytes kept with a segment; at most {KEPT_CONTENTS_LIMIT_BYTES} are"))
        })?;
        if contents.crc32c != crc32c {
            return Err(invalid(format!(
                "bytes kept with a segment have checksum {:08x}, not {crc32c:08x}",
                contents.crc32c
            )));
        }
        Ok(Some(contents))
    }

    pub(super) fn to_wire(contents: Option<&Self>) -> (Bytes, u32) {
        contents.map_or_else(Default::default, |contents| (contents.bytes.clone(), contents.crc32c))
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::InvalidRequest { why }
}
