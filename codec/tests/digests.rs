//! Digests: sums in any order, bound to every part of what they stand for.

use cairn_codec::{CellId, Digest, cell_digest, row_digest};
use proptest::prelude::{Just, Strategy, any};
use proptest::{collection, prop_assert_eq, proptest};

const ID: CellId = CellId { segment: [7; 16], stripe: 1, row: 2, chunk: 3 };

/// The sum modulo 2^256, byte by byte with a carry, as one adds on paper.
fn sum_on_paper(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    let mut carry = 0;
    std::array::from_fn(|index| {
        let [low, high] = (u16::from(left[index]) + u16::from(right[index]) + carry).to_le_bytes();
        carry = u16::from(high);
        low
    })
}

fn sum(digests: &[Digest]) -> Digest {
    let mut total = Digest::ZERO;
    for digest in digests {
        total.add(digest);
    }
    total
}

/// Among them bytes of 0x00 and 0xFF in runs, so that carries go far.
fn digests() -> impl Strategy<Value = Digest> {
    let byte = proptest::prop_oneof![Just(0_u8), Just(0xFF_u8), any::<u8>()];
    collection::vec(byte, 32).prop_map(|bytes| Digest::from_bytes(bytes.try_into().expect("32 bytes")))
}

proptest! {
    #[test]
    fn adding_is_the_sum_on_paper(left in digests(), right in digests()) {
        prop_assert_eq!(sum(&[left, right]), Digest::from_bytes(sum_on_paper(left.as_bytes(), right.as_bytes())));
    }

    #[test]
    fn removing_undoes_adding(left in digests(), right in digests()) {
        let mut total = sum(&[left, right]);
        total.remove(&left);
        prop_assert_eq!(total, right);
        let mut difference = left;
        difference.remove(&right);
        prop_assert_eq!(sum(&[difference, right]), left);
    }

    #[test]
    fn the_order_does_not_matter(
        (digests, shuffled) in collection::vec(digests(), 0..20).prop_flat_map(|list| (Just(list.clone()), Just(list).prop_shuffle()))
    ) {
        prop_assert_eq!(sum(&digests), sum(&shuffled));
    }
}

#[test]
fn carries_and_borrows_pass_through_every_limb() {
    let mut one = [0; 32];
    one[0] = 1;
    let one = Digest::from_bytes(one);
    let mut total = Digest::from_bytes([0xFF; 32]);
    total.add(&one);
    assert_eq!(total, Digest::ZERO);
    total.remove(&one);
    assert_eq!(total, Digest::from_bytes([0xFF; 32]));
}

#[test]
fn a_cell_digest_depends_on_every_part_of_the_cell() {
    let mut segment = ID.segment;
    segment[15] ^= 1;
    let all = [
        cell_digest(&ID, 100, 5),
        cell_digest(&CellId { segment, ..ID }, 100, 5),
        cell_digest(&CellId { stripe: 2, row: 1, ..ID }, 100, 5),
        cell_digest(&CellId { row: 3, ..ID }, 100, 5),
        cell_digest(&CellId { chunk: 4, ..ID }, 100, 5),
        cell_digest(&ID, 101, 5),
        cell_digest(&ID, 100, 6),
        cell_digest(&ID, 5, 100),
    ];
    for (index, digest) in all.iter().enumerate() {
        assert!(!all[..index].contains(digest), "case {index} equals another");
    }
}

#[test]
fn swapped_rows_give_another_blob_digest() {
    let in_order = sum(&[row_digest(0, b"first"), row_digest(1, b"second")]);
    let swapped = sum(&[row_digest(1, b"first"), row_digest(0, b"second")]);
    assert_ne!(in_order, swapped);
    assert_ne!(row_digest(0, b""), row_digest(0, &[0; 8]));
}

/// Digests are kept for ever: what they are computed from must never change.
#[test]
fn digests_of_known_members_are_the_known_ones() {
    assert_eq!(
        cell_digest(&ID, 100, 5).to_string(),
        "2aafc74bf6e73cb5bb3186ddb816484ea5dd4f1d4f2089e5f0279944bcadd0a3"
    );
    assert_eq!(
        row_digest(1, b"user bytes").to_string(),
        "34bff2fb5c1e999a5460274e871e9dc2a51a5544bbb09b62e37bc781c5b9817c"
    );
}
