use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use cairn_proto::ids::DeviceId;
use cairn_proto::storage::sync_dir;
use fail::fail_point;

use super::device_file::DeviceFile;
use super::error::DeviceError;
use super::examination::io_error;
use super::{DATABASE_FOLDER, DEVICE_LOCK, SOLE_DEVICE, STAGING_FOLDER};
use crate::device_config::DeviceConfig;
use crate::identity::Identity;

/// A directory with a store, locked for this process.
#[derive(Debug)]
pub struct Device {
    name: String,
    dir: PathBuf,
    limit_bytes: Option<u64>,
    /// The lock of the node's directory holds for its only device.
    _lock: Option<File>,
}

impl Device {
    /// The directory of a node that has no other.
    pub(crate) fn sole(dir: &Path, limit_bytes: Option<u64>) -> Self {
        Self { name: SOLE_DEVICE.to_owned(), dir: dir.to_owned(), limit_bytes, _lock: None }
    }

    pub(crate) fn open(config: &DeviceConfig) -> Result<Self, DeviceError> {
        let lock = lock_device(config)?;
        let limit_bytes = config.limit.map(|limit| limit.as_u64());
        Ok(Self { name: config.name.clone(), dir: config.dir.clone(), limit_bytes, _lock: Some(lock) })
    }

    /// Makes a directory a device of a node; it is on stable storage on return.
    pub(crate) fn form(config: &DeviceConfig, identity: &Identity) -> Result<(DeviceId, Self), DeviceError> {
        fs::create_dir_all(&config.dir).map_err(io_error(&config.dir))?;
        if let Some(parent) = config.dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent).map_err(io_error(parent))?;
        }
        let formed = Self::open(config)?;
        let device = DeviceId::generate();
        let (node, node_name) = (identity.node, identity.name.clone());
        DeviceFile { device, name: config.name.clone(), node, node_name }.write(&config.dir)?;
        tracing::info!(device = config.name, id = %device, dir = %config.dir.display(), "a device is formed");
        fail_point!("device-formed", |_| Err(io_error(&config.dir)(io::ErrorKind::Interrupted.into())));
        Ok((device, formed))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes it may hold, if less than the disk gives.
    pub fn limit_bytes(&self) -> Option<u64> {
        self.limit_bytes
    }

    /// Where the database lies.
    pub fn database(&self) -> PathBuf {
        self.dir.join(DATABASE_FOLDER)
    }

    /// Where tables are written before they are ingested; on the database's file system, so that a
    /// table moves in without a copy.
    pub fn staging(&self) -> PathBuf {
        self.dir.join(STAGING_FOLDER)
    }
}

/// Takes a file's lock, which the kernel gives back when the process ends, however it ends. `None`: another process has it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = File::options().create(true).truncate(false).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}

fn lock_device(config: &DeviceConfig) -> Result<File, DeviceError> {
    let path = config.dir.join(DEVICE_LOCK);
    let locked = || DeviceError::Locked { name: config.name.clone(), dir: config.dir.clone() };
    lock(&path).map_err(io_error(&path))?.ok_or_else(locked)
}
