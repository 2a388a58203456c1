use std::fs;
use std::path::Path;

use cairn_proto::ids::{DeviceId, NodeId};
use cairn_proto::storage::replace_file;
use serde::{Deserialize, Serialize};

use super::error::DeviceError;
use super::examination::io_error;

/// Version of everything below a device's directory. Raised when an older program could misread it.
pub(super) const DEVICE_FORMAT: u32 = 1;

pub(super) const DEVICE_FILE: &str = "device.toml";
/// Where a crash leaves one that was not named yet.
pub(super) const DEVICE_DRAFT: &str = "device.toml.new";

/// Which device a directory is, and of which node. The node's identity says to which cluster it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceFile {
    pub(crate) device: DeviceId,
    pub(crate) name: String,
    pub(crate) node: NodeId,
    /// For people.
    pub(crate) node_name: String,
}

#[derive(Serialize, Deserialize)]
struct DeviceText {
    format: u32,
    name: String,
    device: String,
    node_name: String,
    node: String,
}

#[derive(Deserialize)]
struct FormatText {
    format: u32,
}

impl DeviceFile {
    /// The file in `dir`.
    pub(super) fn read(dir: &Path) -> Result<Self, DeviceError> {
        let path = dir.join(DEVICE_FILE);
        let text = fs::read_to_string(&path).map_err(io_error(&path))?;
        let damaged = |why: String| DeviceError::Damaged { path: path.clone(), why };
        let format = toml::from_str::<FormatText>(&text).map_err(|error| damaged(error.message().to_owned()))?.format;
        if format > DEVICE_FORMAT {
            return Err(DeviceError::Newer { dir: dir.into(), found: format });
        }
        let text = toml::from_str::<DeviceText>(&text).map_err(|error| damaged(error.message().to_owned()))?;
        let id = |error: uuid::Error| damaged(error.to_string());
        Ok(Self {
            device: text.device.parse().map_err(id)?,
            name: text.name,
            node: text.node.parse().map_err(id)?,
            node_name: text.node_name,
        })
    }

    /// Writes it. File, name and folder are synced before it returns.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), DeviceError> {
        let text = DeviceText {
            format: DEVICE_FORMAT,
            name: self.name.clone(),
            device: self.device.to_string(),
            node_name: self.node_name.clone(),
            node: self.node.to_string(),
        };
        let text = toml::to_string(&text).expect("five plain fields are valid TOML");
        let path = dir.join(DEVICE_FILE);
        replace_file(&path, text.as_bytes()).map_err(io_error(&path))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use cairn_proto::ids::{DeviceId, NodeId};

    use super::{DEVICE_FILE, DeviceFile};
    use crate::devices::DeviceError;

    #[test]
    fn a_device_file_is_read_as_it_was_written_or_refused_at_every_length() {
        let dir = tempfile::tempdir().unwrap();
        let (device, node) = (DeviceId::generate(), NodeId::generate());
        let file = DeviceFile { device, name: "fast".to_owned(), node, node_name: "node-1".to_owned() };
        file.write(dir.path()).unwrap();
        assert_eq!(DeviceFile::read(dir.path()).unwrap(), file);
        let path = dir.path().join(DEVICE_FILE);
        let whole = fs::read_to_string(&path).unwrap();
        for length in 0..whole.trim_end().len() - 1 {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(matches!(DeviceFile::read(dir.path()), Err(DeviceError::Damaged { .. })), "{length}");
        }
        fs::write(&path, "format = 2\nshape = 7\n").unwrap();
        assert!(matches!(DeviceFile::read(dir.path()), Err(DeviceError::Newer { found: 2, .. })));
    }
}
