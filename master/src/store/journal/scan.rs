use super::damage::Damage;
use super::layout::{
    ALIGNMENT, RECORD_HEADER_BYTES, RecordHeader, RecordNumber, SEGMENT_HEADER_BYTES, SegmentHeader, lacks_a_sector,
    number_at,
};

/// A whole record.
#[derive(Debug)]
pub(super) struct Record<'b> {
    pub(super) number: RecordNumber,
    payload: &'b [u8],
}

impl<'b> Record<'b> {
    pub(super) fn parts(&self) -> Result<Vec<&'b [u8]>, Damage> {
        super::layout::parts(self.payload).ok_or(Damage::Parts { number: self.number })
    }
}

/// The records of a segment whose first one is to have the number `first`.
///
/// They end where no whole record with the next number begins. What is broken there was durable if there is a
/// record with a later number anywhere behind, or if all sectors of it are there: a crash leaves zeros of some.
pub(super) fn scan(bytes: &[u8], first: RecordNumber) -> Result<Vec<Record<'_>>, Damage> {
    let header = SegmentHeader::decode(bytes).filter(|header| header.first == first).ok_or(Damage::Header)?;
    let mut records = Vec::new();
    let (mut at, mut due) = (SEGMENT_HEADER_BYTES, first);
    while let Some(record) = record_at(bytes, at, header.salt).filter(|record| record.number == due) {
        at += RECORD_HEADER_BYTES + record.payload.len().next_multiple_of(ALIGNMENT);
        due = due.next();
        records.push(record);
    }
    let mut behind = (at..bytes.len()).step_by(ALIGNMENT).filter(|at| number_at(&bytes[*at..]) > Some(due));
    if let Some(whole) = behind.find_map(|at| record_at(bytes, at, header.salt)) {
        return Err(Damage::Record { broken: due, whole: whole.number });
    }
    if is_all_there(bytes, at, header.salt) { Err(Damage::Last { number: due }) } else { Ok(records) }
}

/// Whether no sector is missing of the broken record that begins there, if one does.
fn is_all_there(bytes: &[u8], at: usize, salt: u64) -> bool {
    let header = bytes.get(at..).and_then(|bytes| RecordHeader::decode(bytes, salt)).filter(|header| header.over_zeros);
    let end = header.map(|header| at + RECORD_HEADER_BYTES + header.length);
    end.is_some_and(|end| end <= bytes.len() && !lacks_a_sector(bytes, at..end))
}

fn record_at(bytes: &[u8], at: usize, salt: u64) -> Option<Record<'_>> {
    let bytes = bytes.get(at..)?;
    let header = RecordHeader::decode(bytes, salt)?;
    let payload = header.payload(&bytes[RECORD_HEADER_BYTES..])?;
    Some(Record { number: header.number, payload })
}
