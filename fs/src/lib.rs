//! See `DESIGN.md`.

pub mod cache;
pub mod cli;
pub mod client;
pub mod filesystem;
pub mod fuse;
