use crate::workload;

/// Length of each piece.
pub(in crate::bench) const PIECE_BYTES: usize = 1 << 20;
/// Different pieces, repeated.
const PIECES: u64 = 64;
const SEED: u64 = 7;
/// Where in a piece a small file's bytes begin.
const SMALL_FILE_STEP_BYTES: usize = 4096;

/// What is in all files of the work: never compressible, and known wherever it is read.
#[derive(Debug)]
pub(in crate::bench) struct Pieces(Vec<Vec<u8>>);

impl Pieces {
    pub(in crate::bench) fn new() -> Self {
        Self((0..PIECES).map(|piece| workload::random_bytes(SEED + piece, PIECE_BYTES)).collect())
    }

    /// The bytes of big files, from their start.
    pub(in crate::bench) fn in_order(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().cycle().map(Vec::as_slice)
    }

    /// The bytes of the file of a number, at most a piece long.
    pub(in crate::bench) fn of_file(&self, number: u32, length: usize) -> &[u8] {
        let piece = &self.0[number as usize % self.0.len()];
        let starts = (PIECE_BYTES - length) / SMALL_FILE_STEP_BYTES + 1;
        let start = number as usize / self.0.len() % starts * SMALL_FILE_STEP_BYTES;
        &piece[start..start + length]
    }

    /// Whether these are the bytes that a big file has at an offset.
    pub(in crate::bench) fn has(&self, offset: u64, bytes: &[u8]) -> bool {
        let (mut at, mut left) = (usize::try_from(offset).expect("a file fits in memory"), bytes);
        while !left.is_empty() {
            let piece = &self.0[at / PIECE_BYTES % self.0.len()][at % PIECE_BYTES..];
            let length = left.len().min(piece.len());
            if piece[..length] != left[..length] {
                return false;
            }
            (at, left) = (at + length, &left[length..]);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::{PIECE_BYTES, Pieces};

    #[test]
    fn a_big_file_has_its_pieces_at_their_offsets() {
        let pieces = Pieces::new();
        let start: Vec<u8> = pieces.in_order().take(66).flatten().copied().collect();
        for offset in [0, 17, PIECE_BYTES - 5, 64 * PIECE_BYTES - 1] {
            let mut read = start[offset..offset + 1000].to_vec();
            assert!(pieces.has(offset as u64, &read));
            read[999] ^= 1;
            assert!(!pieces.has(offset as u64, &read));
        }
    }

    #[test]
    fn files_of_different_numbers_differ_and_stay_within_a_piece() {
        let pieces = Pieces::new();
        assert_ne!(pieces.of_file(0, 4096), pieces.of_file(1, 4096));
        assert_ne!(pieces.of_file(0, 4096), pieces.of_file(64, 4096));
        assert_eq!(pieces.of_file(u32::MAX, PIECE_BYTES).len(), PIECE_BYTES);
        assert_eq!(pieces.of_file(16_383, 4096).len(), 4096);
    }
}
