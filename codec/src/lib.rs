//! Geometry, erasure coding, cell frames and digests of Cairn: pure functions, no I/O, no clock. See `DESIGN.md`.

mod cell_id;
mod coder;
mod cpu;
mod decoder;
mod digest;
mod frame;
mod geometry;
mod layout;

pub use cell_id::CellId;
pub use coder::Coder;
pub use cpu::{MissingCpuFeature, require_cpu_features};
pub use decoder::TooFewCells;
pub use digest::{Digest, cell_digest, row_digest};
pub use frame::{DamagedFrame, FRAME_HEADER_BYTES, Frame, FrameHeader, WrongCell, write_header};
pub use geometry::{ChunkSize, Piece, RowPosition};
pub use layout::{InvalidLayout, LARGEST_CELL_BYTES, Layout, MOST_CHUNKS, SMALLEST_CELL_BYTES};
