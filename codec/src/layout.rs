//! How a segment is cut and coded: the checked numbers behind every position of a byte.

use std::fmt;
use std::str::FromStr;

/// Most chunks (data and code together) of a layout: a chunk's index fits in one byte and 255 stays free.
pub const MOST_CHUNKS: u32 = 255;
/// Smallest cell.
pub const SMALLEST_CELL_BYTES: u32 = 4 << 10;
/// Largest cell.
pub const LARGEST_CELL_BYTES: u32 = 4 << 20;
/// Every cell size is a multiple of this, so that cells start on cache lines.
const CELL_MULTIPLE_BYTES: u32 = 64;

const DEFAULT_CELL_SIZE_BYTES: u32 = 64 << 10;
const DEFAULT_STRIPE_SIZE_BYTES: u64 = 64 << 20;

/// N data and M code chunks, the size of a cell and of a stripe. Every value of this type is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    data: u32,
    code: u32,
    cell_size_bytes: u32,
    stripe_size_bytes: u64,
}

/// Why four numbers are no layout.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLayout {
    /// N is 0.
    #[error("a layout needs at least one data chunk")]
    NoDataChunk,
    /// N + M is over [`MOST_CHUNKS`].
    #[error("{data} data and {code} code chunks are more than {MOST_CHUNKS} together")]
    TooManyChunks {
        /// N as given.
        data: u32,
        /// M as given.
        code: u32,
    },
    /// The cell is too small, too large or of an odd size.
    #[error(
        "a cell of {cell_size_bytes} bytes: it must be a multiple of {CELL_MULTIPLE_BYTES} from {SMALLEST_CELL_BYTES} to {LARGEST_CELL_BYTES}"
    )]
    CellSize {
        /// The size as given.
        cell_size_bytes: u32,
    },
    /// Not one row of cells fits in a stripe.
    #[error("a stripe of {stripe_size_bytes} bytes is smaller than one row of {row_size_bytes}")]
    StripeTooSmall {
        /// The size as given.
        stripe_size_bytes: u64,
        /// Bytes of one row of this layout.
        row_size_bytes: u64,
    },
    /// A stripe has so many rows that their numbers do not fit in 32 bits.
    #[error("a stripe of {stripe_size_bytes} bytes has more than 2^32 - 1 rows of {row_size_bytes} bytes")]
    StripeTooLarge {
        /// The size as given.
        stripe_size_bytes: u64,
        /// Bytes of one row of this layout.
        row_size_bytes: u64,
    },
    /// A text that is not two numbers with a plus sign between.
    #[error("'{text}' is no layout: write data+code, such as 4+2")]
    Text {
        /// The text as given.
        text: String,
    },
}

impl Layout {
    /// 4+2, cells of 64 KiB, stripes of 64 MiB.
    pub const DEFAULT: Self = Self {
        data: 4,
        code: 2,
        cell_size_bytes: DEFAULT_CELL_SIZE_BYTES,
        stripe_size_bytes: DEFAULT_STRIPE_SIZE_BYTES,
    };

    /// Checks the four numbers of a layout.
    pub fn new(data: u32, code: u32, cell_size_bytes: u32, stripe_size_bytes: u64) -> Result<Self, InvalidLayout> {
        if data == 0 {
            return Err(InvalidLayout::NoDataChunk);
        }
        if data.checked_add(code).is_none_or(|chunks| chunks > MOST_CHUNKS) {
            return Err(InvalidLayout::TooManyChunks { data, code });
        }
        if !(SMALLEST_CELL_BYTES..=LARGEST_CELL_BYTES).contains(&cell_size_bytes)
            || !cell_size_bytes.is_multiple_of(CELL_MULTIPLE_BYTES)
        {
            return Err(InvalidLayout::CellSize { cell_size_bytes });
        }
        let row_size_bytes = u64::from(data) * u64::from(cell_size_bytes);
        match stripe_size_bytes / row_size_bytes {
            0 => Err(InvalidLayout::StripeTooSmall { stripe_size_bytes, row_size_bytes }),
            rows if u32::try_from(rows).is_err() => {
                Err(InvalidLayout::StripeTooLarge { stripe_size_bytes, row_size_bytes })
            }
            _ => Ok(Self { data, code, cell_size_bytes, stripe_size_bytes }),
        }
    }

    /// The same layout with another cell size.
    pub fn with_cell_size(self, cell_size_bytes: u32) -> Result<Self, InvalidLayout> {
        Self::new(self.data, self.code, cell_size_bytes, self.stripe_size_bytes)
    }

    /// The same layout with another stripe size.
    pub fn with_stripe_size(self, stripe_size_bytes: u64) -> Result<Self, InvalidLayout> {
        Self::new(self.data, self.code, self.cell_size_bytes, stripe_size_bytes)
    }

    /// N: chunks that hold user bytes.
    pub const fn data(&self) -> usize {
        self.data as usize
    }

    /// M: chunks that hold code; any M chunks of the N + M may be lost.
    pub const fn code(&self) -> usize {
        self.code as usize
    }

    /// N + M.
    pub const fn chunks(&self) -> usize {
        self.data() + self.code()
    }

    /// User bytes of a full data cell.
    pub const fn cell_size_bytes(&self) -> usize {
        self.cell_size_bytes as usize
    }

    /// User bytes of a stripe, as given; its rows use the whole rows in it.
    pub const fn stripe_size_bytes(&self) -> u64 {
        self.stripe_size_bytes
    }

    /// User bytes of a full row: N cells.
    pub const fn row_size_bytes(&self) -> usize {
        self.data() * self.cell_size_bytes()
    }

    /// Rows of a full stripe, at least one.
    pub fn rows_per_stripe(&self) -> u32 {
        u32::try_from(self.stripe_size_bytes / self.row_size_u64())
            .expect("`new` refuses more rows than fit in 32 bits")
    }

    pub(crate) fn row_size_u64(&self) -> u64 {
        u64::from(self.data) * u64::from(self.cell_size_bytes)
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Writes the numbers of data and code chunks, such as `4+2`; the sizes are left out.
impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}+{}", self.data, self.code)
    }
}

/// Reads `4+2`, with the default cell and stripe sizes.
impl FromStr for Layout {
    type Err = InvalidLayout;

    fn from_str(text: &str) -> Result<Self, InvalidLayout> {
        let number =
            |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
        let (data, code) = text
            .split_once('+')
            .and_then(|(data, code)| Some((number(data)?, number(code)?)))
            .ok_or_else(|| InvalidLayout::Text { text: text.to_owned() })?;
        Self::new(data, code, DEFAULT_CELL_SIZE_BYTES, DEFAULT_STRIPE_SIZE_BYTES)
    }
}
