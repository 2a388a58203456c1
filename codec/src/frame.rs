//! The cell frame: 32 bytes of header and the payload, unchanged from the writing client over the wire and the
//! disk to the reading client.

use bytes::{Bytes, BytesMut};

use crate::{CellId, Digest, LARGEST_CELL_BYTES, cell_digest};

/// Bytes before the payload.
pub const FRAME_HEADER_BYTES: usize = 32;

const VERSION: u8 = 1;
const LARGEST_FRAME_BYTES: usize = FRAME_HEADER_BYTES + LARGEST_CELL_BYTES as usize;

const VERSION_AT: usize = 0;
const CHUNK_AT: usize = 1;
const ZERO_AT: usize = 2;
const CRC_AT: usize = 4;
const SEGMENT_AT: usize = 8;
const STRIPE_AT: usize = 24;
const ROW_AT: usize = 28;

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    id: CellId,
    crc: u32,
}

/// A cell whose version, length and checksum were found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
    header: FrameHeader,
}

/// Why some bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DamagedFrame {
    /// No payload, or not even a header. A cell without bytes does not exist and has no frame.
    #[error("a cell frame of {length} bytes has no payload behind its header of {FRAME_HEADER_BYTES}")]
    TooShort {
        /// Bytes found.
        length: usize,
    },
    /// More payload than the largest cell.
    #[error("a cell frame of {length} bytes is longer than the largest one of {LARGEST_FRAME_BYTES}")]
    TooLong {
        /// Bytes found.
        length: usize,
    },
    /// A version that this program does not know.
    #[error("a cell frame of version {version}: this program knows version {VERSION}")]
    UnknownVersion {
        /// Version found.
        version: u8,
    },
    /// The reserved bytes are in use.
    #[error("a cell frame has {reserved:#06x} in its reserved bytes")]
    ReservedInUse {
        /// The two bytes found.
        reserved: u16,
    },
    /// The checksum is not that of the bytes.
    #[error("a cell frame carries CRC32C {stated:#010x}, but its bytes give {computed:#010x}")]
    Checksum {
        /// In the header.
        stated: u32,
        /// Of the bytes.
        computed: u32,
    },
}

/// A sound frame of another cell than the one asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected cell {expected}, found cell {found}")]
pub struct WrongCell {
    /// The cell asked for.
    pub expected: CellId,
    /// The cell that came.
    pub found: CellId,
}

/// Writes the header in front of a payload that lies at `frame[32..]` already, and gives the CRC32C it wrote.
///
/// # Panics
/// If there is no payload, or more than the largest cell.
pub fn write_header(frame: &mut [u8], id: &CellId) -> u32 {
    assert!(
        (FRAME_HEADER_BYTES + 1..=LARGEST_FRAME_BYTES).contains(&frame.len()),
        "a cell has 1 to {LARGEST_CELL_BYTES} bytes"
    );
    let (header, payload) = frame.split_at_mut(FRAME_HEADER_BYTES);
    header[VERSION_AT] = VERSION;
    header[CHUNK_AT] = id.chunk;
    header[ZERO_AT..CRC_AT].fill(0);
    header[CRC_AT..SEGMENT_AT].fill(0);
    header[SEGMENT_AT..STRIPE_AT].copy_from_slice(&id.segment);
    header[STRIPE_AT..ROW_AT].copy_from_slice(&id.stripe.to_be_bytes());
    header[ROW_AT..].copy_from_slice(&id.row.to_be_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(header), payload);
    header[CRC_AT..SEGMENT_AT].copy_from_slice(&crc.to_be_bytes());
    crc
}

impl FrameHeader {
    /// Reads the header of a frame. Whether the checksum it states is that of the bytes is not looked at.
    pub fn parse(frame: &[u8]) -> Result<Self, DamagedFrame> {
        let length = frame.len();
        let (header, _) = frame
            .split_first_chunk::<FRAME_HEADER_BYTES>()
            .filter(|(_, payload)| !payload.is_empty())
            .ok_or(DamagedFrame::TooShort { length })?;
        if length > LARGEST_FRAME_BYTES {
            return Err(DamagedFrame::TooLong { length });
        }
        if header[VERSION_AT] != VERSION {
            return Err(DamagedFrame::UnknownVersion { version: header[VERSION_AT] });
        }
        let reserved = u16::from_be_bytes(field(header, ZERO_AT));
        if reserved != 0 {
            return Err(DamagedFrame::ReservedInUse { reserved });
        }
        let id = CellId {
            segment: field(header, SEGMENT_AT),
            stripe: u32::from_be_bytes(field(header, STRIPE_AT)),
            row: u32::from_be_bytes(field(header, ROW_AT)),
            chunk: header[CHUNK_AT],
        };
        Ok(Self { id, crc: u32::from_be_bytes(field(header, CRC_AT)) })
    }

    /// Refuses the frame of another cell than the one asked for.
    pub fn check_id(&self, expected: &CellId) -> Result<(), WrongCell> {
        if self.id == *expected { Ok(()) } else { Err(WrongCell { expected: *expected, found: self.id }) }
    }
}

impl Frame {
    /// Copies a payload behind a new header.
    ///
    /// # Panics
    /// If the payload is empty, or larger than the largest cell.
    pub fn from_payload(id: &CellId, payload: &[u8]) -> Self {
        let mut bytes = BytesMut::with_capacity(FRAME_HEADER_BYTES + payload.len());
        bytes.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        bytes.extend_from_slice(payload);
        let crc = write_header(&mut bytes, id);
        Self { bytes: bytes.freeze(), header: FrameHeader { id: *id, crc } }
    }

    /// Checks bytes from a disk or from the wire.
    pub fn parse(bytes: Bytes) -> Result<Self, DamagedFrame> {
        let header = FrameHeader::parse(&bytes)?;
        let computed = checksum(&bytes);
        if header.crc != computed {
            return Err(DamagedFrame::Checksum { stated: header.crc, computed });
        }
        Ok(Self { bytes, header })
    }

    /// The cell that this is.
    pub const fn id(&self) -> CellId {
        self.header.id
    }

    /// The payload, sharing the frame's memory.
    pub fn payload(&self) -> Bytes {
        self.bytes.slice(FRAME_HEADER_BYTES..)
    }

    /// Bytes of the payload, at least 1.
    pub fn payload_len(&self) -> usize {
        self.bytes.len() - FRAME_HEADER_BYTES
    }

    /// CRC32C of header and payload.
    pub const fn crc(&self) -> u32 {
        self.header.crc
    }

    /// What this cell adds to the digest of its chunk.
    pub fn digest(&self) -> Digest {
        let payload_len = u32::try_from(self.payload_len()).expect("a payload is at most the largest cell");
        cell_digest(&self.header.id, payload_len, self.header.crc)
    }

    /// The whole frame, as it is sent and stored.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The whole frame, as it is sent and stored.
    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Refuses a frame of another cell than the one asked for.
    pub fn check_id(&self, expected: &CellId) -> Result<(), WrongCell> {
        self.header.check_id(expected)
    }
}

/// CRC32C of a frame, its own field taken as zero.
fn checksum(frame: &[u8]) -> u32 {
    let (header, payload) = frame.split_first_chunk::<FRAME_HEADER_BYTES>().expect("a frame has a header");
    let mut header = *header;
    header[CRC_AT..SEGMENT_AT].fill(0);
    crc32c::crc32c_append(crc32c::crc32c(&header), payload)
}

fn field<const LENGTH: usize>(header: &[u8; FRAME_HEADER_BYTES], at: usize) -> [u8; LENGTH] {
    *header[at..].first_chunk().expect("every field lies within the header")
}
