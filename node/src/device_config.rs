use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use bytesize::ByteSize;
use serde::Deserialize;

/// Devices that a node may have.
pub(crate) const DEVICES_LIMIT: usize = 16;
/// Below this the write buffers and windows of one device would be too small to work with.
const MIN_MEMORY: ByteSize = ByteSize::mib(64);
/// What each further device needs.
const MEMORY_OF_DEVICE: ByteSize = ByteSize::mib(32);
/// Longest name of a device.
const NAME_LIMIT_BYTES: usize = 64;

/// One of several devices: a directory with a store of its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// For people; kept in the directory too, so that no two can be swapped unnoticed.
    pub name: String,
    /// Where everything of this device lies.
    pub dir: PathBuf,
    /// Bytes that it may store; all of the disk but its floor where none is named.
    #[serde(default)]
    pub limit: Option<ByteSize>,
}

/// Devices that cannot work, with what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDevices {
    /// Not `NAME=DIR` or `NAME=DIR:LIMIT`.
    #[error("device {0:?} is not of the form NAME=DIR or NAME=DIR:LIMIT")]
    Form(String),
    /// No name, or one that would not fit into a line.
    #[error("{0:?} is no name for a device; give it letters, digits, '-', '_' and '.', at most {NAME_LIMIT_BYTES}")]
    Name(String),
    /// One name for two.
    #[error("two devices have the name {0:?}; give each a name of its own")]
    SameName(String),
    /// One directory for two.
    #[error("two devices have the directory {}; give each one of its own", .0.display())]
    SameDirectory(PathBuf),
    /// More than a node may have.
    #[error("{0} devices are more than {DEVICES_LIMIT}; run a second node for the others")]
    TooMany(usize),
    /// The limit of the node beside those of its devices.
    #[error("limit is for a node without named devices; give each device a limit of its own")]
    LimitOfNode,
    /// Too little memory for so many.
    #[error("memory = {memory} is too little for {devices} devices; give the node at least {least}")]
    Memory {
        /// What is given.
        memory: ByteSize,
        /// How many devices there are.
        devices: usize,
        /// What they need.
        least: ByteSize,
    },
}

/// What a node with so many devices needs at least.
pub(crate) fn least_memory(devices: usize) -> ByteSize {
    ByteSize::b(MIN_MEMORY.as_u64() + MEMORY_OF_DEVICE.as_u64() * devices.saturating_sub(1) as u64)
}

/// Refuses what cannot work, before anything is opened.
pub(crate) fn check(devices: &[DeviceConfig], memory: ByteSize) -> Result<(), InvalidDevices> {
    if devices.len() > DEVICES_LIMIT {
        return Err(InvalidDevices::TooMany(devices.len()));
    }
    let (mut names, mut dirs) = (BTreeSet::new(), BTreeSet::new());
    for device in devices {
        if !is_name(&device.name) {
            return Err(InvalidDevices::Name(device.name.clone()));
        }
        if !names.insert(&device.name) {
            return Err(InvalidDevices::SameName(device.name.clone()));
        }
        if !dirs.insert(&device.dir) {
            return Err(InvalidDevices::SameDirectory(device.dir.clone()));
        }
    }
    let least = least_memory(devices.len());
    if devices.len() > 1 && memory < least {
        return Err(InvalidDevices::Memory { memory, devices: devices.len(), least });
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    !name.is_empty() && name.len() <= NAME_LIMIT_BYTES && name.chars().all(allowed)
}

impl FromStr for DeviceConfig {
    type Err = InvalidDevices;

    /// What stands behind the last colon is the limit, if it is a size.
    fn from_str(text: &str) -> Result<Self, InvalidDevices> {
        let form = || InvalidDevices::Form(text.to_owned());
        let (name, rest) = text.split_once('=').ok_or_else(form)?;
        let limited = rest.rsplit_once(':').and_then(|(dir, limit)| Some((dir, limit.parse::<ByteSize>().ok()?)));
        let (dir, limit) = limited.map_or((rest, None), |(dir, limit)| (dir, Some(limit)));
        if name.is_empty() || dir.is_empty() {
            return Err(form());
        }
        Ok(Self { name: name.to_owned(), dir: PathBuf::from(dir), limit })
    }
}

#[cfg(test)]
mod tests {
    use bytesize::ByteSize;

    use super::{DEVICES_LIMIT, DeviceConfig, InvalidDevices, check};

    fn device(text: &str) -> DeviceConfig {
        text.parse().unwrap()
    }

    #[test]
    fn a_device_is_written_with_its_directory_and_perhaps_a_limit() {
        let parts = |text: &str| {
            let DeviceConfig { name, dir, limit } = device(text);
            (name, dir.display().to_string(), limit)
        };
        assert_eq!(parts("fast=/mnt/a"), ("fast".to_owned(), "/mnt/a".to_owned(), None));
        assert_eq!(parts("fast=/mnt/a:2GiB").2, Some(ByteSize::gib(2)));
        assert_eq!(parts("fast=/mnt/a:b").1, "/mnt/a:b");
        for wrong in ["/mnt/a", "=/mnt/a", "fast=", "fast=:1GiB"] {
            assert_eq!(wrong.parse::<DeviceConfig>(), Err(InvalidDevices::Form(wrong.to_owned())));
        }
    }

    #[test]
    fn two_devices_share_neither_name_nor_directory() {
        let refused = |texts: &[&str]| {
            let devices: Vec<DeviceConfig> = texts.iter().map(|text| device(text)).collect();
            check(&devices, ByteSize::gib(1)).unwrap_err()
        };
        assert_eq!(refused(&["a=/x", "a=/y"]), InvalidDevices::SameName("a".to_owned()));
        assert_eq!(refused(&["a=/x", "b=/x"]), InvalidDevices::SameDirectory("/x".into()));
        assert!(matches!(refused(&["a b=/x"]), InvalidDevices::Name(_)));
    }

    #[test]
    fn each_device_needs_memory_of_its_own() {
        let devices: Vec<DeviceConfig> =
            (0..=DEVICES_LIMIT).map(|number| device(&format!("{number}=/{number}"))).collect();
        assert_eq!(check(&devices[..2], ByteSize::mib(96)), Ok(()));
        assert!(matches!(check(&devices[..3], ByteSize::mib(96)), Err(InvalidDevices::Memory { devices: 3, .. })));
        assert!(matches!(check(&devices, ByteSize::gib(4)), Err(InvalidDevices::TooMany(_))));
    }
}
