//! Kernel mounts: whether this machine can have them, which there are, and taking them away.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, umount2};

/// Whether tests may mount. Without `/dev/fuse` they fail, because a run that skips the mount in silence
/// shows nothing; `CAIRN_NO_FUSE=1` says that this is wanted, and each skipped test says so.
///
/// # Panics
/// When there is no `/dev/fuse` and nobody said that this is fine.
#[must_use]
pub fn is_usable() -> bool {
    if Path::new("/dev/fuse").exists() {
        return true;
    }
    let wanted = std::env::var_os("CAIRN_NO_FUSE").is_some_and(|value| value == "1");
    assert!(wanted, "this test mounts, and there is no /dev/fuse; set CAIRN_NO_FUSE=1 to skip the tests that mount");
    notice("skipped: no /dev/fuse, and CAIRN_NO_FUSE=1 is set");
    false
}

/// Says something that the test runner must not swallow: what was not tested.
///
/// # Panics
/// When standard error is closed.
pub fn notice(text: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a test");
    writeln!(io::stderr(), "NOTICE {name}: {text}").expect("standard error is open");
}

/// Whether something is mounted at exactly this path.
///
/// # Panics
/// When the kernel's list of mounts cannot be read.
#[must_use]
pub fn is_mounted(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("the kernel lists the mounts");
    let path = path.to_str().expect("the harness makes UTF-8 paths");
    mounts.lines().any(|line| line.split(' ').nth(4) == Some(path))
}

/// Takes a mount away even if it is busy or its daemon is dead; nothing happens if there is none.
///
/// # Panics
/// When the mount stays.
pub fn detach(path: &Path) {
    if !is_mounted(path) {
        return;
    }
    if umount2(path, MntFlags::MNT_DETACH).is_err() {
        let helper = Command::new("fusermount3").arg("-uz").arg(path).status();
        helper.expect("without root, fusermount3 unmounts");
    }
    assert!(!is_mounted(path), "{} is still mounted", path.display());
}

#[cfg(test)]
mod tests {
    use super::is_mounted;
    use std::path::Path;

    #[test]
    fn only_mount_points_are_mounted() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_mounted(Path::new("/proc")));
        assert!(!is_mounted(folder.path()));
    }
}
