//! Cell frames: their exact bytes, and that nothing but those bytes is taken for one.

use bytes::Bytes;
use cairn_codec::{
    CellId, DamagedFrame, FRAME_HEADER_BYTES, Frame, LARGEST_CELL_BYTES, WrongCell, cell_digest, write_header,
};
use proptest::prelude::{Strategy, any};
use proptest::{collection, prop_assert, prop_assert_eq, proptest};

const ID: CellId = CellId {
    segment: [0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8, 0xA9, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF],
    stripe: 0x0102_0304,
    row: 0x1112_1314,
    chunk: 5,
};

/// CRC32C bit by bit, from its definition.
fn crc_by_definition(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shifted(crc)))
}

/// The frame of `ID` and `payload`, written field by field.
fn frame_by_definition(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![1, 5, 0, 0, 0, 0, 0, 0];
    frame.extend(0xA0..=0xAF);
    frame.extend([0x01, 0x02, 0x03, 0x04, 0x11, 0x12, 0x13, 0x14]);
    frame.extend(payload);
    restore_crc(&mut frame);
    frame
}

fn restore_crc(frame: &mut [u8]) {
    frame[4..8].fill(0);
    let crc = crc_by_definition(frame);
    frame[4..8].copy_from_slice(&crc.to_be_bytes());
}

fn ids() -> impl Strategy<Value = CellId> {
    let parts = (any::<[u8; 16]>(), any::<u32>(), any::<u32>(), any::<u8>());
    parts.prop_map(|(segment, stripe, row, chunk)| CellId { segment, stripe, row, chunk })
}

#[test]
fn a_frame_has_exactly_the_documented_bytes() {
    let expected = frame_by_definition(b"payload");
    let frame = Frame::from_payload(&ID, b"payload");
    assert_eq!(frame.bytes(), expected.as_slice());
    let mut in_place = [&[0xFF; FRAME_HEADER_BYTES], b"payload".as_slice()].concat();
    assert_eq!(write_header(&mut in_place, &ID), frame.crc());
    assert_eq!(in_place, expected);
}

#[test]
fn a_parsed_frame_shares_the_memory_it_came_in() {
    let bytes = Bytes::from(frame_by_definition(b"payload"));
    let frame = Frame::parse(bytes.clone()).unwrap();
    assert_eq!(frame.payload().as_ptr(), bytes[FRAME_HEADER_BYTES..].as_ptr());
    assert_eq!(frame.payload_len(), 7);
    assert_eq!(frame.digest(), cell_digest(&ID, 7, frame.crc()));
    assert_eq!(frame.into_bytes().as_ptr(), bytes.as_ptr());
}

#[test]
fn every_flipped_bit_is_found() {
    let sound = frame_by_definition(b"a payload of some bytes");
    for byte in 0..sound.len() {
        for bit in 0..8 {
            let mut flipped = sound.clone();
            flipped[byte] ^= 1 << bit;
            let found = Frame::parse(Bytes::from(flipped)).expect_err("one bit is wrong");
            match byte {
                0 => assert_eq!(found, DamagedFrame::UnknownVersion { version: 1 ^ (1 << bit) }),
                2 | 3 => assert!(matches!(found, DamagedFrame::ReservedInUse { .. })),
                _ => assert!(matches!(found, DamagedFrame::Checksum { .. }), "byte {byte}, bit {bit}: {found}"),
            }
        }
    }
}

/// With a right checksum, so that it is the field that is refused.
#[test]
fn unknown_versions_and_reserved_bytes_in_use_are_refused() {
    let altered = |at: usize, value: u8| {
        let mut frame = frame_by_definition(b"payload");
        frame[at] = value;
        restore_crc(&mut frame);
        Frame::parse(Bytes::from(frame)).map(|frame| frame.id())
    };
    assert_eq!(altered(0, 0), Err(DamagedFrame::UnknownVersion { version: 0 }));
    assert_eq!(altered(0, 2), Err(DamagedFrame::UnknownVersion { version: 2 }));
    assert_eq!(altered(2, 1), Err(DamagedFrame::ReservedInUse { reserved: 0x0100 }));
    assert_eq!(altered(3, 0x80), Err(DamagedFrame::ReservedInUse { reserved: 0x0080 }));
    assert_eq!(altered(1, 7), Ok(CellId { chunk: 7, ..ID }));
}

#[test]
fn frames_cut_short_or_run_on_are_refused() {
    let sound = Bytes::from(frame_by_definition(b"payload"));
    for length in 0..=FRAME_HEADER_BYTES {
        assert_eq!(Frame::parse(sound.slice(..length)), Err(DamagedFrame::TooShort { length }));
    }
    for length in FRAME_HEADER_BYTES + 1..sound.len() {
        assert!(matches!(Frame::parse(sound.slice(..length)), Err(DamagedFrame::Checksum { .. })));
    }
    let longer = [&sound[..], &[0]].concat();
    assert!(matches!(Frame::parse(Bytes::from(longer)), Err(DamagedFrame::Checksum { .. })));
}

#[test]
fn the_largest_cell_has_a_frame_and_one_byte_more_has_none() {
    let largest = Frame::from_payload(&ID, &vec![7; LARGEST_CELL_BYTES as usize]);
    assert_eq!(Frame::parse(largest.bytes().clone()).as_ref(), Ok(&largest));
    let mut longer = largest.bytes().to_vec();
    longer.push(0);
    let length = longer.len();
    assert_eq!(Frame::parse(Bytes::from(longer)), Err(DamagedFrame::TooLong { length }));
}

#[test]
#[should_panic(expected = "a cell has 1 to")]
fn a_cell_without_bytes_gets_no_header() {
    write_header(&mut [0; FRAME_HEADER_BYTES], &ID);
}

#[test]
fn a_cell_that_was_not_asked_for_is_refused() {
    let frame = Frame::from_payload(&ID, b"payload");
    assert_eq!(frame.check_id(&ID), Ok(()));
    let others = [
        CellId { segment: [0; 16], ..ID },
        CellId { stripe: 0, ..ID },
        CellId { row: 0, ..ID },
        CellId { chunk: 0, ..ID },
    ];
    for expected in others {
        assert_eq!(frame.check_id(&expected), Err(WrongCell { expected, found: ID }));
    }
}

#[test]
fn a_cell_is_named_by_segment_stripe_row_and_chunk() {
    assert_eq!(ID.to_string(), "a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf:16909060:286397204/5");
}

proptest! {
    #[test]
    fn what_was_framed_is_parsed(id in ids(), payload in collection::vec(any::<u8>(), 1..2000)) {
        let frame = Frame::parse(Frame::from_payload(&id, &payload).into_bytes())?;
        prop_assert_eq!(frame.id(), id);
        prop_assert_eq!(frame.payload(), payload);
        prop_assert_eq!(frame.crc(), crc_by_definition(&{
            let mut bytes = frame.bytes().to_vec();
            bytes[4..8].fill(0);
            bytes
        }));
    }

    #[test]
    fn arbitrary_bytes_are_refused_and_never_a_panic(mut bytes in collection::vec(any::<u8>(), 0..200), plausible: bool) {
        if plausible && bytes.len() > 4 {
            bytes[..4].copy_from_slice(&[1, 0, 0, 0]);
        }
        // A right checksum by luck has a chance of one in 2^32 for each case.
        prop_assert!(Frame::parse(Bytes::from(bytes)).is_err());
    }
}
