//! Reed-Solomon over one row at a time.

use std::sync::Arc;

use reed_solomon_erasure::galois_8::{ReedSolomon, mul_slice, mul_slice_xor};

use crate::Layout;
use crate::decoder::{Decoder, TooFewCells};

/// Cells are coded in slices of this size, so that the slices of all code cells stay in the processor's cache
/// while one data cell after the other is added to them. Does not affect the coded bytes.
pub(crate) const CODING_SLICE_BYTES: usize = 32 << 10;

/// The code of one layout. A clone shares the tables.
#[derive(Clone)]
pub struct Coder {
    tables: Arc<Tables>,
}

struct Tables {
    layout: Layout,
    /// None if the layout has no code chunk.
    code: Option<CodeTables>,
}

struct CodeTables {
    reed_solomon: ReedSolomon,
    /// M times N factors: how much of each data cell goes into each code cell.
    factors: Vec<u8>,
}

impl CodeTables {
    fn new(layout: &Layout) -> Self {
        let reed_solomon = ReedSolomon::new(layout.data(), layout.code())
            .expect("a layout has a data chunk, here also a code chunk, and at most 255 chunks");
        let factors = code_factors(&reed_solomon);
        Self { reed_solomon, factors }
    }
}

impl Coder {
    /// Computes the tables of a layout: keep the coder and clone it rather than making another.
    pub fn new(layout: Layout) -> Self {
        let code = (layout.code() > 0).then(|| CodeTables::new(&layout));
        Self { tables: Arc::new(Tables { layout, code }) }
    }

    /// The layout coded for.
    pub fn layout(&self) -> &Layout {
        &self.tables.layout
    }

    /// Fills the M code cells of a row from the data cells that exist, in order. Cells that do not exist, and what
    /// is missing behind a short one, count as zeros. Allocates nothing.
    ///
    /// # Panics
    /// If the cells are not those of one row: more data cells than N, a data cell longer than the first, other
    /// than M code cells, or a code cell of another length than the first data cell.
    pub fn encode(&self, data: &[&[u8]], code: &mut [&mut [u8]]) {
        let layout = &self.tables.layout;
        let longest = data.first().map_or(0, |cell| cell.len());
        assert!(data.len() <= layout.data(), "at most N data cells");
        assert!(data.iter().all(|cell| cell.len() <= longest), "no data cell is longer than the first");
        assert!(code.len() == layout.code(), "exactly M code cells");
        assert!(code.iter().all(|cell| cell.len() == longest), "code cells are as long as the longest data cell");
        let Some(tables) = &self.tables.code else { return };
        for start in (0..longest).step_by(CODING_SLICE_BYTES) {
            for (chunk, cell) in data.iter().enumerate().take_while(|(_, cell)| cell.len() > start) {
                let end = cell.len().min(start + CODING_SLICE_BYTES);
                let factors = tables.factors.iter().skip(chunk).step_by(layout.data());
                for (factor, output) in factors.zip(code.iter_mut()) {
                    // The first cell is the longest: it overwrites all of the slice, whatever was there.
                    let apply = if chunk == 0 { mul_slice } else { mul_slice_xor };
                    apply(*factor, &cell[start..end], &mut output[start..end]);
                }
            }
        }
    }

    /// Gives the cells of the chunks in `want`, in that order, from the cells in `have` (chunk and payload) of a row
    /// of `row_length` user bytes. Any N cells are enough, and data cells that do not exist in a short row count as
    /// had. A wanted cell that does not exist is given empty. A cell in `have` whose chunk or length does not fit
    /// the row is left aside as if it were lost.
    ///
    /// # Panics
    /// If a wanted chunk is not one of the layout.
    pub fn reconstruct(
        &self,
        row_length: usize,
        have: &[(usize, &[u8])],
        want: &[usize],
    ) -> Result<Vec<Vec<u8>>, TooFewCells> {
        assert!(want.iter().all(|chunk| *chunk < self.layout().chunks()), "wanted chunks are those of the layout");
        let reed_solomon = self.tables.code.as_ref().map(|tables| &tables.reed_solomon);
        Decoder::new(self.layout(), row_length, have).decode(reed_solomon, want)
    }
}

/// The code cells of N unit vectors are the factors themselves: byte p of code cell i says how much of data cell p
/// goes into it.
fn code_factors(reed_solomon: &ReedSolomon) -> Vec<u8> {
    let data = reed_solomon.data_shard_count();
    let mut unit_vectors = vec![0; data * data];
    unit_vectors.iter_mut().step_by(data + 1).for_each(|diagonal| *diagonal = 1);
    let mut factors = vec![0; reed_solomon.parity_shard_count() * data];
    let inputs: Vec<&[u8]> = unit_vectors.chunks_exact(data).collect();
    let mut outputs: Vec<&mut [u8]> = factors.chunks_exact_mut(data).collect();
    reed_solomon.encode_sep(&inputs, &mut outputs).expect("N and M vectors of N bytes, none empty");
    factors
}
