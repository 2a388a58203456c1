use std::path::{Path, PathBuf};

use clap::Args;

use super::mount::{MountFailure, ask_to_umount, mount_point};
use super::{ExitStatus, Failure, console};
use crate::fuse::{clear_stale, mounted_at};

/// `cairn umount`: ends a mount once everything written to it is stored.
#[derive(Debug, Args)]
pub(crate) struct UmountArguments {
    /// Where it is mounted
    path: PathBuf,
}

impl UmountArguments {
    pub(crate) fn subject(&self) -> String {
        format!("umount {}", self.path.display())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let path = mount_point(&self.path)?;
        let Some(outcome) = ask_to_umount(&path).await.map_err(MountFailure::BrokenOff)? else {
            take_away_dead(&path)?;
            console::message(format_args!("took away what a dead mount left at {}", path.display()));
            return Ok(ExitStatus::Done);
        };
        if !outcome.failures.is_empty() {
            return Err(MountFailure::Unfinished(outcome.failures).into());
        }
        let committed = match outcome.committed {
            0 => String::new(),
            count => format!(", {count} files that were still open are stored as they were"),
        };
        console::message(format_args!("unmounted {}{committed}", path.display()));
        Ok(ExitStatus::Done)
    }
}

/// Takes away a mount of ours that no process answers for.
fn take_away_dead(path: &Path) -> Result<(), MountFailure> {
    let is_there = || mounted_at(path).map(|entry| entry.is_some_and(|entry| entry.is_cairn()));
    if !is_there().map_err(MountFailure::Table)? {
        return Err(MountFailure::NotMounted(path.to_owned()));
    }
    clear_stale(path)?;
    if is_there().map_err(MountFailure::Table)? { Err(MountFailure::Elsewhere(path.to_owned())) } else { Ok(()) }
}
