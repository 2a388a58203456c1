//! The one folder of a comparison, and who clears it, however the comparison ends.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::statvfs::statvfs;

use super::memory_folder::MemoryFolder;
use super::peer::PeerScript;
use super::subject::SubjectError;
use super::system::System;
use crate::binary::{cairn_program, profile_directory};
use crate::process::Process;
use crate::{fuse, wait, watchdog};

/// For the one who clears up after another comparison to be done.
const CLEARING_DEADLINE: Duration = Duration::from_mins(2);

/// The folder that all systems have their data in. There is one, because peers are known by fixed names, and it is locked.
///
/// Beside the program a second one runs, the clearer, that does nothing but wait for the first one to end: the pipe that it
/// reads from ends with it, be it by SIGKILL. Then it takes away what is there of every system. It is in a process group of
/// its own, which the Ctrl-C of a terminal does not reach, and has the lock as its standard output, so that nobody starts
/// before it is done. If it is killed too, the next comparison finds the folder and begins with the same.
#[derive(Debug)]
pub(in crate::bench) struct Scene {
    folder: PathBuf,
    clearer: Child,
}

impl Scene {
    /// Makes the folder, once nobody else has it, if so much is free. What a killed comparison left is cleared first.
    pub(in crate::bench) fn make(free_gib: u64) -> Result<Self, SubjectError> {
        let parent = profile_directory().join("clusters");
        let folder = parent.join("comparison");
        let failed = |error: io::Error| SubjectError::failed(folder.display().to_string(), &error);
        fs::create_dir_all(&parent).map_err(failed)?;
        let lock = File::create(folder.with_extension("lock")).map_err(failed)?;
        if wait::within(CLEARING_DEADLINE, || lock.try_lock().ok()).is_none() {
            return Err(SubjectError::failed("another comparison runs", &folder.display()));
        }
        clear(&folder)?;
        check_space(&parent, free_gib)?;
        fs::create_dir_all(&folder).map_err(failed)?;
        let mut command = Command::new(std::env::current_exe().map_err(failed)?);
        command.arg("clear").arg(&folder).process_group(0).stdin(Stdio::piped()).stdout(lock);
        let clearer = command.spawn().map_err(failed)?;
        Ok(Self { folder, clearer })
    }

    pub(in crate::bench) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(self.clearer.stdin.take());
        let ended = self.clearer.wait();
        if !ended.is_ok_and(|status| status.success()) {
            fuse::notice(&format!("something is left in {}", self.folder.display()));
        }
    }
}

fn check_space(folder: &Path, wanted_gib: u64) -> Result<(), SubjectError> {
    let disk = statvfs(folder).map_err(|error| SubjectError::failed(folder.display().to_string(), &error))?;
    let free_gib = (disk.blocks_available() * disk.fragment_size()) >> 30;
    if free_gib >= wanted_gib {
        return Ok(());
    }
    let said = format!("{free_gib} GiB are free, {wanted_gib} are needed; --quick needs less");
    Err(SubjectError::failed(folder.display().to_string(), &said))
}

/// What the clearer does: waits for the end of its input, then clears.
pub fn clear_at_end_of_input(folder: &Path) -> Result<(), SubjectError> {
    io::stdin().read_to_end(&mut Vec::new()).map_err(|error| SubjectError::failed("standard input", &error))?;
    clear(folder)
}

/// Ends every system that has its data in a folder, and removes it.
fn clear(folder: &Path) -> Result<(), SubjectError> {
    if !folder.exists() {
        return Ok(());
    }
    let failed = |error: io::Error| SubjectError::failed(folder.display().to_string(), &error);
    end_cairn(folder);
    fuse::detach(&MemoryFolder::path_in(folder));
    for entry in fs::read_dir(folder).map_err(failed)? {
        let cluster = entry.map_err(failed)?.path();
        if cluster.join("dev").is_dir() {
            watchdog::end(&cluster.join("dev"), &cluster.join("mount"));
            // Those of further mounts, whose daemons have ended above.
            for further in fs::read_dir(&cluster).map_err(failed)? {
                fuse::detach(&further.map_err(failed)?.path());
            }
        }
    }
    for peer in [System::Gluster, System::MooseFs] {
        if folder.join(peer.to_string()).is_dir() {
            PeerScript::new(peer, folder).run("down")?;
        }
    }
    fs::remove_dir_all(folder).map_err(failed)
}

/// Ends each process of `cairn` and each other one of this program that has its data in a folder: also one that was about to
/// start others when nobody waited for it any more, and that no file names.
fn end_cairn(folder: &Path) {
    let me = Process::new(std::process::id());
    let programs = [Some(cairn_program()), std::env::current_exe().ok()].into_iter().flatten();
    // As the kernel has it, where it ends each word of a command line.
    let programs = programs.map(|program| {
        let mut word = program.into_os_string();
        word.push("\0");
        PathBuf::from(word)
    });
    let programs: Vec<PathBuf> = programs.collect();
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let processes = numbers.filter(|number| *number > 1).map(Process::new);
    let processes = processes.filter(|process| process.id() != me.id() && process.belongs_to(folder));
    for process in processes.filter(|process| programs.iter().any(|program| process.belongs_to(program))) {
        process.kill_if_alive();
    }
}

#[cfg(test)]
mod tests {
    use super::{check_space, clear};

    #[test]
    fn a_folder_without_systems_is_removed_and_one_that_is_gone_is_fine() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("comparison");
        std::fs::create_dir_all(folder.join("disk/files")).unwrap();
        clear(&folder).unwrap();
        assert!(!folder.exists());
        clear(&folder).unwrap();
    }

    #[test]
    fn a_disk_that_is_too_full_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        check_space(folder.path(), 0).unwrap();
        let refused = check_space(folder.path(), 1 << 40).unwrap_err().to_string();
        assert!(refused.contains("are needed"), "{refused}");
    }
}
