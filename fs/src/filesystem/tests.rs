//! The file system on a store in memory.

mod bounds;
mod commands;
mod copies;
mod directory;
mod faults;
mod following;
mod kernel;
mod model;
mod other_mounts;
mod sessions;
mod write_once;
