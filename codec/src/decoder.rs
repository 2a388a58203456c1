//! One row with cells lost: which of the others to use, and how much of each goes into a lost one.

use reed_solomon_erasure::galois_8::{ReedSolomon, mul_slice_xor};

use crate::Layout;
use crate::coder::CODING_SLICE_BYTES;

/// A row cannot be decoded: fewer than N of its cells are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decoding a row needs {needed} of its cells, and only {usable} are there ({unusable} more do not fit the row)")]
pub struct TooFewCells {
    /// N.
    pub needed: usize,
    /// Cells that are there, those included that do not exist in a short row and are known to be zeros.
    pub usable: usize,
    /// Cells given whose chunk or length does not fit the row, or whose chunk was given twice.
    pub unusable: usize,
}

pub(crate) struct Decoder<'a> {
    layout: &'a Layout,
    row_length: usize,
    /// By chunk; None is lost. A cell that does not exist is there, and empty.
    cells: Vec<Option<&'a [u8]>>,
    unusable: usize,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(layout: &'a Layout, row_length: usize, have: &[(usize, &'a [u8])]) -> Self {
        let lengths = (0..layout.chunks()).map(|chunk| layout.cell_length(row_length, chunk));
        let mut cells: Vec<Option<&[u8]>> = lengths.map(|length| (length == 0).then_some(&[][..])).collect();
        let mut unusable = 0;
        for (chunk, payload) in have {
            match cells.get_mut(*chunk) {
                Some(cell @ None) if payload.len() == layout.cell_length(row_length, *chunk) => *cell = Some(payload),
                _ => unusable += 1,
            }
        }
        Self { layout, row_length, cells, unusable }
    }

    /// `reed_solomon` is that of the layout; None if it has no code chunk.
    pub(crate) fn decode(
        &self,
        reed_solomon: Option<&ReedSolomon>,
        want: &[usize],
    ) -> Result<Vec<Vec<u8>>, TooFewCells> {
        let mut cells: Vec<Vec<u8>> = want.iter().map(|chunk| self.cells[*chunk].unwrap_or(&[]).to_vec()).collect();
        let lost: Vec<usize> = (0..want.len()).filter(|index| self.cells[want[*index]].is_none()).collect();
        if lost.is_empty() {
            return Ok(cells);
        }
        let used = self.used_chunks()?;
        let reed_solomon = reed_solomon.expect("N cells are there and another is not, so there are more than N");
        let factors = factors(reed_solomon, &used);
        for index in &lost {
            cells[*index] = vec![0; self.layout.cell_length(self.row_length, want[*index])];
        }
        self.accumulate(&used, &factors, &lost, want, &mut cells);
        Ok(cells)
    }

    /// The first N chunks whose cells are there, so that data comes before code.
    fn used_chunks(&self) -> Result<Vec<usize>, TooFewCells> {
        let needed = self.layout.data();
        let mut usable: Vec<usize> = (0..self.cells.len()).filter(|chunk| self.cells[*chunk].is_some()).collect();
        if usable.len() < needed {
            return Err(TooFewCells { needed, usable: usable.len(), unusable: self.unusable });
        }
        usable.truncate(needed);
        Ok(usable)
    }

    /// Adds to each lost cell, slice by slice, its share of each used one. `outputs` start as zeros.
    fn accumulate(&self, used: &[usize], factors: &[u8], lost: &[usize], want: &[usize], outputs: &mut [Vec<u8>]) {
        let inputs = || used.iter().map(|chunk| self.cells[*chunk].unwrap_or(&[])).enumerate();
        for start in (0..self.layout.cell_length(self.row_length, 0)).step_by(CODING_SLICE_BYTES) {
            for (place, input) in inputs() {
                for index in lost {
                    let output = &mut outputs[*index];
                    let end = input.len().min(output.len()).min(start + CODING_SLICE_BYTES);
                    let factor = factors[want[*index] * used.len() + place];
                    if start < end && factor != 0 {
                        mul_slice_xor(factor, &input[start..end], &mut output[start..end]);
                    }
                }
            }
        }
    }
}

/// For every chunk, how much of each used cell goes into it. Decoding is linear: with unit vectors in the place of
/// the used cells, the lost ones come out as the factors.
fn factors(reed_solomon: &ReedSolomon, used: &[usize]) -> Vec<u8> {
    let mut factors = vec![0; reed_solomon.total_shard_count() * used.len()];
    for (place, chunk) in used.iter().enumerate() {
        factors[chunk * used.len() + place] = 1;
    }
    let mut vectors: Vec<(&mut [u8], bool)> = factors
        .chunks_exact_mut(used.len())
        .enumerate()
        .map(|(chunk, vector)| (vector, used.contains(&chunk)))
        .collect();
    reed_solomon.reconstruct(&mut vectors).expect("N vectors of N bytes are there, none empty");
    factors
}
