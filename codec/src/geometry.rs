//! From positions of user bytes to rows, cells and chunks, and back. Row numbers count over the whole segment.

use std::ops::Range;

use crate::Layout;

/// Lengths above this are never handled, so that sums of an offset and a length stay in 64 bits.
const LARGEST_LENGTH_BYTES: u64 = u64::MAX / 2;

/// Where a row lies: its stripe, and its number within that stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowPosition {
    /// Number of the stripe in the segment.
    pub stripe: u32,
    /// Number of the row in the stripe.
    pub row: u32,
}

/// Consecutive user bytes within one cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Number of the row in the segment.
    pub row: u64,
    /// Index of the data chunk.
    pub chunk: usize,
    /// Bytes of the cell's payload; never empty.
    pub within: Range<usize>,
}

/// What one chunk of a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChunkSize {
    /// Cells that exist.
    pub cells: u64,
    /// Payload bytes of those cells.
    pub length_bytes: u64,
}

impl Layout {
    /// The largest segment or blob: 2^32 stripes of whole rows, and never over `u64::MAX / 2` bytes.
    pub fn largest_length_bytes(&self) -> u64 {
        let rows = (u64::from(u32::MAX) + 1).saturating_mul(u64::from(self.rows_per_stripe()));
        rows.saturating_mul(self.row_size_u64()).min(LARGEST_LENGTH_BYTES)
    }

    /// Rows of `length` user bytes.
    pub fn row_count(&self, length: u64) -> u64 {
        length.div_ceil(self.row_size_u64())
    }

    /// User bytes in row `row` of `length` user bytes: 0 behind the last row.
    pub fn row_length(&self, length: u64, row: u64) -> usize {
        let start = row.saturating_mul(self.row_size_u64());
        narrow(length.saturating_sub(start).min(self.row_size_u64()))
    }

    /// Stripe and row-in-stripe of a row.
    ///
    /// # Panics
    /// If the row lies behind the largest length of the layout, which callers check when they learn a length.
    pub fn position(&self, row: u64) -> RowPosition {
        let rows_per_stripe = u64::from(self.rows_per_stripe());
        RowPosition {
            stripe: u32::try_from(row / rows_per_stripe).expect("the row lies within the largest length"),
            row: u32::try_from(row % rows_per_stripe).expect("a remainder is less than its 32-bit divisor"),
        }
    }

    /// The row at a position: the inverse of [`Layout::position`]. None if the stripe has no such row.
    pub fn row_at(&self, position: RowPosition) -> Option<u64> {
        let rows_per_stripe = self.rows_per_stripe();
        (position.row < rows_per_stripe)
            .then(|| u64::from(position.stripe) * u64::from(rows_per_stripe) + u64::from(position.row))
    }

    /// Payload bytes of the cell of chunk `chunk` in a row of `row_length` user bytes. 0: the cell does not exist.
    /// Code cells are as long as the row's longest data cell.
    pub fn cell_length(&self, row_length: usize, chunk: usize) -> usize {
        let before = match chunk {
            data if data < self.data() => data * self.cell_size_bytes(),
            code if code < self.chunks() => 0,
            _ => return 0,
        };
        row_length.saturating_sub(before).min(self.cell_size_bytes())
    }

    /// Data cells that exist in a row of `row_length` user bytes.
    pub fn data_cells(&self, row_length: usize) -> usize {
        row_length.div_ceil(self.cell_size_bytes()).min(self.data())
    }

    /// What chunk `chunk` of a segment of `length` user bytes holds.
    pub fn chunk_size(&self, length: u64, chunk: usize) -> ChunkSize {
        if chunk >= self.chunks() {
            return ChunkSize::default();
        }
        let full_rows = length / self.row_size_u64();
        let last = self.cell_length(narrow(length % self.row_size_u64()), chunk) as u64;
        ChunkSize {
            cells: full_rows + u64::from(last > 0),
            length_bytes: full_rows * self.cell_size_bytes() as u64 + last,
        }
    }

    /// The cells that hold `range` of `length` user bytes, in the order of the bytes. What lies behind `length`
    /// is left out.
    pub fn pieces(&self, length: u64, range: Range<u64>) -> impl Iterator<Item = Piece> + use<> {
        Pieces { layout: *self, next: range.start, end: range.end.min(length) }
    }
}

struct Pieces {
    layout: Layout,
    next: u64,
    end: u64,
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let left = self.end.checked_sub(self.next).filter(|left| *left > 0)?;
        let in_row = narrow(self.next % self.layout.row_size_u64());
        let cell_size = self.layout.cell_size_bytes();
        let start = in_row % cell_size;
        let taken = left.min((cell_size - start) as u64);
        let piece = Piece {
            row: self.next / self.layout.row_size_u64(),
            chunk: in_row / cell_size,
            within: start..start + narrow(taken),
        };
        self.next += taken;
        Some(piece)
    }
}

/// A number of bytes within one row.
fn narrow(bytes_in_row: u64) -> usize {
    usize::try_from(bytes_in_row).expect("a row is at most 255 cells of 4 MiB")
}
