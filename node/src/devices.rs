//! The devices of a node: a directory each, with the file `device.toml` that says whose it is.
//!
//! A start looks into every directory (`examination`), decides what each is (`muster`), and only then changes anything. A
//! disk that is not mounted, or belongs to somebody else, is so never taken for an empty one.

mod device;
mod device_file;
mod error;
mod examination;
mod muster;
mod places;

pub use device::Device;
pub(crate) use device::lock;
pub use error::DeviceError;
pub(crate) use examination::{database_is_gone, names_in};
pub(crate) use muster::{Known, Mustered, Roster, muster};
pub use places::Places;

/// Name of the only device of a node that names none.
const SOLE_DEVICE: &str = "data";
/// Taken by the running process.
const DEVICE_LOCK: &str = "device.lock";
pub(crate) const DATABASE_FOLDER: &str = "db";
const STAGING_FOLDER: &str = "staging";
