//! The file system: one flat directory of a store's blobs, with files that are being written. It runs without a
//! mount; `SEMANTICS.md` says what each operation does, `DESIGN.md` how.

mod attributes;
mod blob_store;
mod client_store;
mod contents;
mod current_row;
mod directory_reader;
mod errno;
mod error;
mod extended_attributes;
#[cfg(test)]
pub(crate) mod fake_store;
#[cfg(test)]
mod fake_watch;
mod file_name;
mod file_system;
mod handle_table;
mod inode;
mod inode_table;
mod kernel_cache;
mod killed_writer;
mod listing;
mod options;
mod page_ahead;
mod recent_look_ups;
mod row_budget;
mod row_map;
mod session;
mod session_table;
#[cfg(test)]
mod tests;

pub use attributes::{AttributeChange, FileAttributes};
pub use blob_store::{BlobStore, Capacity, OpenBlob, OpenSegment, Placement, StoreWatch};
pub use client_store::ClientBlob;
pub use error::FsError;
pub use extended_attributes::NAMES as EXTENDED_ATTRIBUTES;
pub use file_system::{CopyRange, Created, Drained, FileSystem, LostFile, OpenMode, Opened, OpenedDirectory, Pages};
pub use inode::Inode;
pub use kernel_cache::{Forgotten, NameCache};
pub use listing::DirectoryEntry;
pub use options::{FileSystemOptions, KilledWriter};
