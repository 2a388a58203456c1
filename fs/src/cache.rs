//! Cells kept in memory for all readers of a client. See `DESIGN.md`.

mod cell_cache;
mod shard;

pub use cell_cache::{Admission, CellCache, CellKey};
