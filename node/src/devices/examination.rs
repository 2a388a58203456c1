use std::path::Path;
use std::{fs, io};

use super::device_file::{DEVICE_DRAFT, DEVICE_FILE, DeviceFile};
use super::error::DeviceError;
use super::{DATABASE_FOLDER, DEVICE_LOCK, STAGING_FOLDER};

/// What a device's directory turns out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing, or there is no such directory.
    Nothing,
    /// A device.
    Device {
        /// Which.
        file: DeviceFile,
        /// Whether it keeps anything.
        has_database: bool,
    },
    /// A database without a device's file: in the node's own directory, from when it had no devices.
    Undivided,
    /// Something else, for instance this.
    Else(String),
}

/// Looks into the directory of a device, and changes nothing. `ours` are names that count as nothing: those of the node's
/// own files, if it is its directory too, and folders of other devices.
pub(crate) fn examine(dir: &Path, ours: &[String]) -> Result<Found, DeviceError> {
    let names = names_in(dir)?;
    let has_database = !database_is_gone(&dir.join(DATABASE_FOLDER))?;
    if names.iter().any(|name| name == DEVICE_FILE) {
        return Ok(Found::Device { file: DeviceFile::read(dir)?, has_database });
    }
    if has_database {
        return Ok(Found::Undivided);
    }
    let nothing = [DEVICE_LOCK, DEVICE_DRAFT, "lost+found", DATABASE_FOLDER, STAGING_FOLDER];
    let other = names.into_iter().find(|name| !nothing.contains(&name.as_str()) && !ours.contains(name));
    Ok(other.map_or(Found::Nothing, Found::Else))
}

/// Whether the whole database is gone, as opposed to some of it.
pub(crate) fn database_is_gone(database: &Path) -> Result<bool, DeviceError> {
    let names = names_in(database)?;
    let starts = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
    let keeps_data = names.iter().any(|name| {
        [".sst", ".log"].iter().any(|ending| name.ends_with(ending)) || name == "CURRENT" || name == "IDENTITY"
    });
    match (keeps_data || starts("MANIFEST-"), starts("CURRENT"), starts("MANIFEST-")) {
        (false, ..) => Ok(true),
        (true, true, true) => Ok(false),
        (true, false, _) => Err(DeviceError::Truncated { dir: database.into(), missing: "CURRENT" }),
        (true, true, false) => Err(DeviceError::Truncated { dir: database.into(), missing: "the MANIFEST file" }),
    }
}

/// The names in a directory; none if it is not there.
pub(crate) fn names_in(dir: &Path) -> Result<Vec<String>, DeviceError> {
    let read = || -> io::Result<Vec<String>> {
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => names.map_err(io_error(dir)),
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> DeviceError {
    let path = path.to_owned();
    move |source| DeviceError::Io { path, source }
}
