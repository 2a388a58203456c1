//! `GlusterFS` on this machine, by `bench/peers/gluster.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cold::ColdError;
use crate::finished::Finished;
use crate::fuse;

/// Packages may have to be installed.
const SCRIPT_DEADLINE: Duration = Duration::from_mins(10);

/// In the program, so that it runs wherever the program was copied to.
const SCRIPT: &str = include_str!("../../bench/peers/gluster.sh");

/// A volume of six bricks, disperse 4+2, mounted; taken down when dropped.
#[derive(Debug)]
pub(super) struct Gluster {
    folder: PathBuf,
}

impl Gluster {
    /// Installs `GlusterFS` if it is missing, starts it and mounts it below `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self, ColdError> {
        let gluster = Self { folder: folder.to_path_buf() };
        gluster.script("up")?;
        Ok(gluster)
    }

    pub(super) fn mount_path(&self) -> PathBuf {
        self.folder.join("mnt")
    }

    /// Restarts every brick, the management daemon and the mount.
    pub(super) fn restart(&self) -> Result<(), ColdError> {
        self.script("restart")
    }

    fn script(&self, action: &str) -> Result<(), ColdError> {
        let script = self.folder.with_extension("sh");
        fs::write(&script, SCRIPT).map_err(|error| ColdError::Restart {
            what: "gluster",
            said: format!("cannot write {}: {error}", script.display()),
        })?;
        let finished = Finished::of(Command::new("bash").arg(script).arg(action).arg(&self.folder), SCRIPT_DEADLINE);
        if finished.succeeded() {
            return Ok(());
        }
        Err(ColdError::Restart { what: "gluster", said: finished.to_string() })
    }
}

impl Drop for Gluster {
    fn drop(&mut self) {
        if let Err(error) = self.script("down") {
            fuse::notice(&format!("GlusterFS is still there: {error}"));
        }
    }
}
