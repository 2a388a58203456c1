//! A disk whose power can be cut: what was not synced is gone.
//!
//! It is a file with an ext4 file system, mounted through a loop device. A cut stops the processes that work on it,
//! shuts the file system down without writing its journal out, kills them, and mounts it again: what the kernel held in
//! memory is lost, what it had handed to the device is there.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Uid;

use crate::finished::Finished;
use crate::fuse::{detach, notice};
use crate::process::Process;

/// Making and mounting a small file system.
const DEADLINE: Duration = Duration::from_secs(30);
/// The largest it gets; the file has holes for what was never written.
const SIZE_BYTES: u64 = 4 << 30;
/// `FS_IOC_SHUTDOWN` of the kernel: `_IOR('X', 125, __u32)`.
const SHUT_DOWN: libc::c_ulong = 0x8004_587d;
/// Without writing the journal out first.
const NO_LOG_FLUSH: u32 = 2;

/// A mounted file system of its own; taken away when dropped.
#[derive(Debug)]
pub struct PowerCutDisk {
    image: PathBuf,
    mount: PathBuf,
}

impl PowerCutDisk {
    /// Whether this process may mount. If not, the test that asks says so and shows nothing.
    #[must_use]
    pub fn is_usable() -> bool {
        let usable = Uid::effective().is_root();
        if !usable {
            notice("skipped: cutting the power of a disk takes root, to mount one");
        }
        usable
    }

    /// A new, empty one, mounted at a folder that does not exist yet; its image lies beside that.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new(mount: &Path) -> Self {
        let disk = Self { image: mount.with_extension("img"), mount: mount.to_owned() };
        let image = File::create_new(&disk.image).expect("the test's folder can be written");
        image.set_len(SIZE_BYTES).expect("a file may have holes");
        fs::create_dir(&disk.mount).expect("the test's folder can be written");
        Finished::of(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&disk.image), DEADLINE).expect_success();
        disk.mount();
        disk
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts the power under these processes, which are all that have files open on it: they end, and the disk is as it
    /// is found when the power comes back.
    ///
    /// # Panics
    /// When the power was not cut.
    #[track_caller]
    pub fn cut(&self, processes: &[Process]) {
        // A sync that runs while the power goes could be reported as done. Nobody reports anything any more.
        for process in processes {
            process.signal(Signal::SIGSTOP);
        }
        for process in processes {
            process.wait_stopped(DEADLINE);
        }
        let canary = self.write_canary();
        self.shut_down();
        for process in processes {
            process.kill();
        }
        self.unmount();
        self.mount();
        let left = fs::read_to_string(canary).unwrap_or_default();
        assert!(left.is_empty(), "void: what was not synced is still there after the cut: {left:?}");
    }

    /// A file that is not synced: what is left of it shows whether the power was really cut. It has a new name each time,
    /// because ext4 soon writes out what replaces the content of an older file.
    fn write_canary(&self) -> PathBuf {
        let canary = self.mount.join(format!("canary-{:016x}", rand::random::<u64>()));
        fs::write(&canary, "not synced").expect("the disk can be written");
        canary
    }

    fn shut_down(&self) {
        let root = File::open(&self.mount).expect("the disk is mounted");
        let how = NO_LOG_FLUSH;
        #[allow(unsafe_code)]
        // SAFETY: the descriptor is open, and the kernel reads one u32 at the address, which outlives the call.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), SHUT_DOWN, &raw const how) };
        let error = std::io::Error::last_os_error();
        assert!(result == 0, "cannot shut {} down: {error}", self.mount.display());
    }

    fn mount(&self) {
        let mut mount = Command::new("mount");
        Finished::of(mount.args(["-o", "loop"]).arg(&self.image).arg(&self.mount), DEADLINE).expect_success();
    }

    fn unmount(&self) {
        Finished::of(Command::new("umount").arg(&self.mount), DEADLINE).expect_success();
    }
}

impl Drop for PowerCutDisk {
    fn drop(&mut self) {
        detach(&self.mount);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::PowerCutDisk;
    use crate::Machine;
    use crate::binary::profile_directory;

    #[test]
    fn a_cut_takes_what_was_not_synced_and_nothing_else() {
        if !PowerCutDisk::is_usable() {
            return;
        }
        let _machine = Machine::alone();
        let folder = tempfile::tempdir_in(profile_directory()).unwrap();
        let disk = PowerCutDisk::new(&folder.path().join("disk"));
        for round in 0..3 {
            let (kept, lost) = (disk.path().join(format!("kept-{round}")), disk.path().join(format!("lost-{round}")));
            let mut synced = File::create_new(&kept).unwrap();
            synced.write_all(b"synced").unwrap();
            synced.sync_all().unwrap();
            File::open(disk.path()).unwrap().sync_all().unwrap();
            synced.write_all(b"and more").unwrap();
            fs::write(&lost, "not synced").unwrap();
            drop(synced);
            disk.cut(&[]);
            assert_eq!(fs::read_to_string(&kept).unwrap(), "synced");
            assert_eq!(fs::read(&lost).unwrap_or_default(), b"");
        }
    }
}
