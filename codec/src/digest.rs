//! Digests of sets: a sum of BLAKE3 outputs, to which members are added and from which they are removed in any order.

use std::fmt;

use crate::CellId;

/// Keys of the two uses of BLAKE3, so that no cell digest can equal a row digest.
const CELL_CONTEXT: &str = "cairn v1 cell digest";
const ROW_CONTEXT: &str = "cairn v1 row digest";

const LIMB_BYTES: usize = 8;

/// A sum modulo 2^256 of BLAKE3 outputs, each read as a little-endian number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of the empty set.
    pub const ZERO: Self = Self([0; 32]);

    /// From its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Adds a member, or all members of another set.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |left, right, carry| {
            let (sum, first) = left.overflowing_add(right);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (sum, first || second)
        });
    }

    /// Removes what was added once.
    pub fn remove(&mut self, other: &Self) {
        self.combine(other, |left, right, borrow| {
            let (difference, first) = left.overflowing_sub(right);
            let (difference, second) = difference.overflowing_sub(u64::from(borrow));
            (difference, first || second)
        });
    }

    /// Limb by limb from the lowest; what is carried out of the highest falls away (modulo 2^256).
    fn combine(&mut self, other: &Self, step: impl Fn(u64, u64, bool) -> (u64, bool)) {
        let mut carry = false;
        let (own_limbs, _) = self.0.as_chunks_mut::<LIMB_BYTES>();
        let (other_limbs, _) = other.0.as_chunks::<LIMB_BYTES>();
        for (own, other) in own_limbs.iter_mut().zip(other_limbs) {
            let (limb, carried) = step(u64::from_le_bytes(*own), u64::from_le_bytes(*other), carry);
            *own = limb.to_le_bytes();
            carry = carried;
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({self})")
    }
}

/// What one cell adds to the digest of its chunk.
pub fn cell_digest(id: &CellId, payload_len: u32, crc: u32) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(CELL_CONTEXT);
    hasher.update(&id.segment);
    hasher.update(&id.stripe.to_be_bytes());
    hasher.update(&id.row.to_be_bytes());
    hasher.update(&[id.chunk]);
    hasher.update(&payload_len.to_be_bytes());
    hasher.update(&crc.to_be_bytes());
    Digest(*hasher.finalize().as_bytes())
}

/// What one row adds to the digest of its blob. `row` counts over the whole blob.
pub fn row_digest(row: u64, user_bytes: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(ROW_CONTEXT);
    // The number stands behind the bytes: in front it would shift them off BLAKE3's block boundaries.
    hasher.update(user_bytes);
    hasher.update(&row.to_be_bytes());
    Digest(*hasher.finalize().as_bytes())
}
