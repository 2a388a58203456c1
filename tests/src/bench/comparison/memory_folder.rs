use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::stat::{major, minor};

use super::cold_cache::drop_page_cache;
use super::subject::{Daemon, Subject, SubjectError};
use super::system::System;
use crate::bench::memory_mount::READY;
use crate::fuse::{detach, notice};
use crate::process::Process;

/// What the kernel reads ahead of a sequential reader, as on a mount of Cairn.
const READ_AHEAD_KIB: &str = "1024";

/// A mount with nothing behind it, served by a process of its own.
#[derive(Debug)]
pub(super) struct MemoryFolder {
    folder: PathBuf,
    server: Child,
}

impl MemoryFolder {
    /// Where it is mounted.
    pub(super) fn path_in(scene: &Path) -> PathBuf {
        scene.join(System::Memory.to_string())
    }

    /// Mounts an empty one below `scene`.
    pub(super) fn mount(scene: &Path) -> Result<Self, SubjectError> {
        let folder = Self::path_in(scene);
        let failed = |error: std::io::Error| SubjectError::failed(folder.display().to_string(), &error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("memory-mount").arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = command.spawn().map_err(failed)?;
        let output = server.stdout.take().expect("it is piped");
        let mounted = Self { folder: folder.clone(), server };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(failed)?;
        if line.trim_end() != READY {
            return Err(SubjectError::failed(folder.display().to_string(), &"it is not mounted"));
        }
        let device = fs::metadata(&folder).map_err(failed)?.dev();
        let setting = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
        fs::write(&setting, READ_AHEAD_KIB).map_err(|error| SubjectError::failed(setting, &error))?;
        Ok(mounted)
    }
}

impl Subject for MemoryFolder {
    fn system(&self) -> System {
        System::Memory
    }

    fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    fn daemons(&self) -> Result<Vec<Daemon>, SubjectError> {
        Ok(vec![Daemon { name: "mount".to_owned(), process: Process::new(self.server.id()) }])
    }

    /// What it serves is in its memory, and stays there.
    fn make_cold(&mut self) -> Result<(), SubjectError> {
        drop_page_cache()
    }

    fn lose_two_nodes(&mut self) -> Result<bool, SubjectError> {
        Ok(false)
    }

    fn stored_bytes(&self) -> u64 {
        0
    }
}

impl Drop for MemoryFolder {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        if !self.server.wait().is_ok_and(|status| status.success()) {
            notice(&format!("the mount at {} did not end by itself", self.folder.display()));
            detach(&self.folder);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::bench::comparison::row::Row;
    use crate::bench::comparison::system::System;

    #[test]
    fn it_has_neither_nodes_nor_disk_space_nor_room_for_a_huge_file() {
        let left_out: Vec<Row> = Row::all().iter().copied().filter(|row| !System::Memory.has(*row)).collect();
        assert_eq!(left_out, [Row::MediumStored, Row::WriteHuge, Row::ReadTwoLost]);
        assert!(Row::all().iter().all(|row| System::Cairn.has(*row)));
    }
}
