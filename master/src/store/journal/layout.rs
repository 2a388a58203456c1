//! The bytes of a segment. All numbers are little-endian.
//!
//! Header: magic (8), first number (8), salt (8), CRC-32C of these (4). Record: number (8), length of the payload (4,
//! the highest bit apart, which is set if the record was written over zeros that were durable), CRC-32C of the payload
//! (4), CRC-32C of salt and these (4), payload, zeros up to the next multiple of 4. Payload: for each part its length (4)
//! and its bytes. Everything behind the last record is zero.
//!
//! The salt is random and never told to anybody: bytes that a user stores cannot pass for a record.

use std::io;
use std::ops::Range;

const MAGIC: [u8; 8] = *b"CairnJ01";
pub(super) const SEGMENT_HEADER_BYTES: usize = 28;
pub(super) const RECORD_HEADER_BYTES: usize = 20;
/// What a disk writes as a whole, at least.
const SECTOR_BYTES: usize = 512;
/// Where records begin.
pub(super) const ALIGNMENT: usize = 4;
const OVER_ZEROS: u32 = 1 << 31;
const LENGTH_BYTES: usize = size_of::<u32>();

/// The number of a record: one more than that of the record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RecordNumber(pub(crate) u64);

impl RecordNumber {
    /// Before the first record.
    pub(crate) const NONE: Self = Self(0);

    /// Of the record behind this one.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::fmt::Display for RecordNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

/// What a segment begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Number of its first record.
    pub(super) first: RecordNumber,
    pub(super) salt: u64,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..24]);
        bytes[24..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no header, or a damaged one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES)?;
        let sum = u32_at(bytes, 24)?;
        if bytes[..8] != MAGIC || sum != crc32c::crc32c(&bytes[..24]) {
            return None;
        }
        Some(Self { first: RecordNumber(u64_at(bytes, 8)?), salt: u64_at(bytes, 16)? })
    }
}

/// What a record begins with, as its own sum says; the payload is yet to be checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordHeader {
    pub(super) number: RecordNumber,
    pub(super) length: usize,
    /// Written over zeros that were durable: what a crash kept from the disk reads as zeros.
    pub(super) over_zeros: bool,
    payload_sum: u32,
}

impl RecordHeader {
    /// `None` if no header of a segment with this salt begins there.
    pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES)?;
        if u32_at(bytes, 16)? != header_sum(&bytes[..16], salt) {
            return None;
        }
        let length = u32_at(bytes, 8)?;
        let over_zeros = length & OVER_ZEROS != 0;
        let length = usize::try_from(length & !OVER_ZEROS).ok()?;
        Some(Self { number: number_at(bytes)?, length, over_zeros, payload_sum: u32_at(bytes, 12)? })
    }

    /// The payload behind the header, if it is all there as it was written.
    pub(super) fn payload<'b>(&self, behind: &'b [u8]) -> Option<&'b [u8]> {
        let payload = behind.get(..self.length)?;
        (crc32c::crc32c(payload) == self.payload_sum).then_some(payload)
    }
}

/// The number in an unchecked header.
pub(super) fn number_at(header: &[u8]) -> Option<RecordNumber> {
    u64_at(header, 0).map(RecordNumber)
}

/// Adds a record to `buffer`, which is empty. It is yet to be sealed.
pub(super) fn encode_record<'p>(
    buffer: &mut Vec<u8>,
    number: RecordNumber,
    parts: impl Iterator<Item = &'p [u8]>,
) -> io::Result<()> {
    buffer.resize(RECORD_HEADER_BYTES, 0);
    for part in parts {
        buffer.extend_from_slice(&length_of(part)?.to_le_bytes());
        buffer.extend_from_slice(part);
    }
    let payload = &buffer[RECORD_HEADER_BYTES..];
    let (length, sum) = (length_of(payload)?, crc32c::crc32c(payload));
    buffer[..8].copy_from_slice(&number.0.to_le_bytes());
    buffer[8..12].copy_from_slice(&length.to_le_bytes());
    buffer[12..16].copy_from_slice(&sum.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
    Ok(())
}

/// Makes an encoded record one of the segment with this salt.
pub(super) fn seal_record(record: &mut [u8], salt: u64, over_zeros: bool) {
    // The highest byte of the length.
    record[11] |= if over_zeros { (OVER_ZEROS >> 24) as u8 } else { 0 };
    let sum = header_sum(&record[..16], salt);
    record[16..RECORD_HEADER_BYTES].copy_from_slice(&sum.to_le_bytes());
}

/// Whether a sector of `bytes[range]`, or what of it is in there, has nothing but zeros.
pub(super) fn lacks_a_sector(bytes: &[u8], range: Range<usize>) -> bool {
    let mut from = range.start;
    while from < range.end {
        let to = range.end.min((from + 1).next_multiple_of(SECTOR_BYTES));
        if bytes[from..to].iter().all(|byte| *byte == 0) {
            return true;
        }
        from = to;
    }
    false
}

/// The parts of a payload; `None` if their lengths contradict it.
pub(super) fn parts(mut payload: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !payload.is_empty() {
        let length = usize::try_from(u32_at(payload, 0)?).ok()?;
        let (part, rest) = payload[LENGTH_BYTES..].split_at_checked(length)?;
        parts.push(part);
        payload = rest;
    }
    Some(parts)
}

/// The least size of a segment that one record of so many bytes fits in.
pub(super) fn segment_bytes_for(record_bytes: usize) -> u64 {
    (SEGMENT_HEADER_BYTES + record_bytes) as u64
}

fn header_sum(header: &[u8], salt: u64) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), header)
}

fn length_of(bytes: &[u8]) -> io::Result<u32> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| length & OVER_ZEROS == 0);
    length.ok_or_else(|| io::Error::other(format!("a record of {} bytes is too long", bytes.len())))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}
