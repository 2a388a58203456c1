//! Which cell of the store some bytes are.

use std::fmt;

/// Identity of one cell: every cell ever written has another one, but for a row that is written again before
/// its segment is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CellId {
    /// UUID of the segment, in network order.
    pub segment: [u8; 16],
    /// Number of the stripe in the segment.
    pub stripe: u32,
    /// Number of the row in the stripe.
    pub row: u32,
    /// Index of the chunk: data chunks first, then code chunks.
    pub chunk: u8,
}

/// `<segment uuid>:<stripe>:<row>/<chunk>`
impl fmt::Display for CellId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.segment.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                formatter.write_str("-")?;
            }
            write!(formatter, "{byte:02x}")?;
        }
        write!(formatter, ":{}:{}/{}", self.stripe, self.row, self.chunk)
    }
}
