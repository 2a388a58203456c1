//! Names of machines that a test changes while programs use them.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::thread;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::unistd::Uid;
use tempfile::TempDir;

use crate::fuse::notice;

const HOSTS: &str = "/etc/hosts";

/// The file that names are looked up in, as one thread and all it starts see it.
#[derive(Debug)]
pub struct OwnHosts {
    file: PathBuf,
    _folder: TempDir,
}

impl OwnHosts {
    /// Runs `test` where the file of names is its own. Threads and processes that it starts see the same; nobody else
    /// does. If this process may not do that, it says so and runs nothing.
    ///
    /// # Panics
    /// When the test does.
    pub fn with(test: impl FnOnce(&Self) + Send) {
        if !Uid::effective().is_root() {
            notice("skipped: names of its own take root, to mount a file of names");
            return;
        }
        let ran = thread::scope(|scope| scope.spawn(|| test(&Self::in_this_thread())).join());
        if let Err(panic) = ran {
            std::panic::resume_unwind(panic);
        }
    }

    fn in_this_thread() -> Self {
        #[allow(unsafe_code)]
        // SAFETY: takes an integer and touches no memory of ours; from here on this thread has mounts of its own.
        let result = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        Errno::result(result).expect("root may have mounts of its own");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("mounts can be made private");
        let folder = tempfile::tempdir().expect("the temporary directory takes files");
        let hosts = Self { file: folder.path().join("hosts"), _folder: folder };
        hosts.set(&[]);
        let bound = mount(Some(&hosts.file), HOSTS, None::<&str>, MsFlags::MS_BIND, None::<&str>);
        bound.expect("a file can be mounted over another");
        hosts
    }

    /// From now on these names have these addresses, and no others have any.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set(&self, names: &[(String, String)]) {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for (name, address) in names {
            writeln!(text, "{address} {name}").expect("a string takes any text");
        }
        // In place: what is mounted is this file, not its name.
        fs::write(&self.file, text).expect("the temporary directory takes files");
    }
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs;

    use super::OwnHosts;
    use crate::Machine;

    #[test]
    fn names_move_for_the_test_alone() {
        // What is mounted when a thread gets mounts of its own stays mounted there.
        let _machine = Machine::alone();
        let resolve = || {
            let mut found: Vec<_> = ("one.cairn.test", 7).to_socket_addrs().into_iter().flatten().collect();
            found.sort_unstable();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        OwnHosts::with(|hosts| {
            let name = |address: &str| ("one.cairn.test".to_owned(), address.to_owned());
            hosts.set(&[name("127.0.0.5"), name("127.0.0.6")]);
            assert_eq!(resolve(), ["127.0.0.5:7", "127.0.0.6:7"]);
            hosts.set(&[name("127.0.0.7")]);
            assert_eq!(resolve(), ["127.0.0.7:7"]);
        });
        let text = std::fs::read_to_string(super::HOSTS).unwrap();
        assert!(!text.contains("one.cairn.test"));
    }
}
