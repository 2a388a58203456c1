use std::path::{Path, PathBuf};

use super::SOLE_DEVICE;
use super::error::DeviceError;
use super::examination::{Found, examine};
use crate::device_config::DeviceConfig;

/// Where a node is to keep chunks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Places<'a> {
    /// The devices; without any, the node's directory is the only one.
    pub devices: &'a [DeviceConfig],
    /// Names of lost devices that the node is to go on without.
    pub without: &'a [String],
    /// Bytes that may be stored where there is only the directory.
    pub limit_bytes: Option<u64>,
}

impl Places<'_> {
    /// Whether the node's directory is to be its only device.
    pub(crate) fn is_sole(&self) -> bool {
        self.devices.is_empty() && !self.without.iter().any(|name| name == SOLE_DEVICE)
    }

    /// The devices of the node in `home`. If none is named, its directory is one.
    pub(crate) fn settled(&self, home: &Path) -> Result<Vec<DeviceConfig>, DeviceError> {
        if self.devices.is_empty() {
            let limit = self.limit_bytes.map(bytesize::ByteSize::b);
            return Ok(vec![DeviceConfig { name: SOLE_DEVICE.to_owned(), dir: home.to_owned(), limit }]);
        }
        let real: Vec<PathBuf> = self.devices.iter().map(|device| real_path(&device.dir)).collect();
        for (number, (device, path)) in self.devices.iter().zip(&real).enumerate() {
            if let Some(other) = real[..number].iter().position(|other| other == path) {
                let (one, other) = (self.devices[other].name.clone(), device.name.clone());
                return Err(DeviceError::SameDirectory { one, other, dir: path.clone() });
            }
        }
        let real_home = real_path(home);
        let config = |(device, path): (&DeviceConfig, PathBuf)| {
            let dir = if path == real_home { home.to_owned() } else { device.dir.clone() };
            DeviceConfig { dir, ..device.clone() }
        };
        Ok(self.devices.iter().zip(real).map(config).collect())
    }

    /// Names in a directory below which devices lie.
    pub(crate) fn folders_in(&self, dir: &Path) -> Vec<String> {
        let below = |config: &DeviceConfig| {
            let first = config.dir.strip_prefix(dir).ok()?.components().next()?;
            Some(first.as_os_str().to_string_lossy().into_owned())
        };
        self.devices.iter().filter_map(below).collect()
    }

    /// What each device's directory turns out to be. `of_node` are the names of the node's own files.
    pub(crate) fn examine(
        &self,
        home: &Path,
        settled: &[DeviceConfig],
        of_node: &[&str],
    ) -> Result<Vec<(String, PathBuf, Found)>, DeviceError> {
        let examined = settled.iter().map(|config| {
            let mut ours = self.folders_in(&config.dir);
            if config.dir == home {
                ours.extend(of_node.iter().map(|&name| name.to_owned()));
            }
            Ok((config.name.clone(), config.dir.clone(), examine(&config.dir, &ours)?))
        });
        examined.collect()
    }
}

/// What links lead to, where there is something.
fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
