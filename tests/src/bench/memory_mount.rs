//! A directory of files in memory, mounted by FUSE, with nothing behind it: what the kernel's way to such a file system
//! allows on a machine, and so what no mount there can surpass.

mod adapter;
mod files;

use std::io::{self, Read, Write};
use std::path::Path;

use fuser::{Config, MountOption, Session};

use adapter::Adapter;

/// Threads that read requests, as in a mount of Cairn.
const LOOP_THREADS: usize = 2;
/// What is said once it is mounted.
pub(super) const READY: &str = "mounted";

/// Mounts it, says so on standard output, and unmounts it when standard input ends.
pub fn serve_memory_mount(path: &Path) -> io::Result<()> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("memory".to_owned()), MountOption::DefaultPermissions];
    config.n_threads = Some(LOOP_THREADS);
    config.clone_fd = true;
    let session = Session::new(Adapter::default(), path, &config)?.spawn()?;
    writeln!(io::stdout(), "{READY}")?;
    io::stdin().read_to_end(&mut Vec::new())?;
    session.umount_and_join()
}
