//! What every daemon with a `RocksDB` database keeps to: files replaced as a whole, and a manifest that got shorter
//! noticed before the database is opened.

mod manifest_mark;
mod manifest_watch;
mod replace_file;

pub use manifest_mark::{ManifestError, check_manifest, forget_manifest};
pub use manifest_watch::ManifestWatch;
pub use replace_file::{replace_file, sync_dir};
