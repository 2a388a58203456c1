use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::sys::signal::Signal;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A running process, held by a descriptor of its own: its number may be given to another process one
/// day, the descriptor never means another one.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    descriptor: OwnedFd,
}

impl Process {
    /// The process `pid`, if the arguments after the program's name begin with these. A number
    /// that was given to another process meanwhile is nobody.
    pub(crate) fn find(pid: u32, arguments: &[OsString]) -> io::Result<Option<Self>> {
        let Some(descriptor) = open_process(pid)? else { return Ok(None) };
        match std::fs::read(format!("/proc/{pid}/cmdline")) {
            Ok(command_line) if runs_with(&command_line, arguments) => Ok(Some(Self { pid, descriptor })),
            Ok(_) => Ok(None),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The process `pid`, whatever it is.
    pub(crate) fn open(pid: u32) -> io::Result<Option<Self>> {
        Ok(open_process(pid)?.map(|descriptor| Self { pid, descriptor }))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal; a process that has ended meanwhile needs none.
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        #[allow(unsafe_code)]
        // SAFETY: the descriptor is open for as long as `self`; without a siginfo the kernel reads no
        // memory of ours.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.descriptor.as_raw_fd(),
                signal as libc::c_int,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match result {
            0 => Ok(()),
            _ => match io::Error::last_os_error() {
                error if is_gone(&error) => Ok(()),
                error => Err(error),
            },
        }
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        let copy = self.descriptor.try_clone()?;
        #[allow(unsafe_code)]
        // SAFETY: an owned descriptor always gives the same number and is closed only when it is dropped.
        let watched = unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) };
        watched.map_err(|error| error.into_parts().1)?.readable().await.map(drop)
    }
}

fn open_process(pid: u32) -> io::Result<Option<OwnedFd>> {
    #[allow(unsafe_code)]
    // SAFETY: pidfd_open takes two integers; what it returns is a new descriptor that nobody else owns.
    let descriptor = unsafe {
        match libc::syscall(libc::SYS_pidfd_open, pid, 0) {
            -1 => Err(io::Error::last_os_error()),
            number => Ok(OwnedFd::from_raw_fd(
                libc::c_int::try_from(number).expect("the kernel numbers descriptors with an int"),
            )),
        }
    };
    match descriptor {
        Ok(descriptor) => Ok(Some(descriptor)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether a `/proc/PID/cmdline` is a program and arguments that begin with these: options behind them differ from
/// version to version. That of a process that has
/// ended and was not yet collected by its parent is empty.
fn runs_with(command_line: &[u8], arguments: &[OsString]) -> bool {
    let Some(command_line) = command_line.strip_suffix(b"\0") else { return false };
    let words = command_line.split(|byte| *byte == 0).skip(1).map(OsStr::from_bytes);
    let mut first_words = words.take(arguments.len());
    arguments.iter().all(|argument| first_words.next() == Some(argument.as_os_str()))
}

#[cfg(test)]
mod tests {
    use super::{Process, runs_with};
    use nix::sys::signal::Signal;
    use std::ffi::OsString;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;
    use tokio::time::timeout;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn whole_arguments_count_and_options_behind_them_do_not() {
        let arguments = words(&["node", "--config", "/a b/node-1.toml"]);
        assert!(runs_with(b"/bin/cairn\0node\0--config\0/a b/node-1.toml\0", &arguments));
        assert!(!runs_with(b"/bin/cairn\0node\0--config\0/a b/node-10.toml\0", &arguments));
        assert!(runs_with(b"/bin/cairn\0node\0--config\0/a b/node-1.toml\0--more\0", &arguments));
        assert!(!runs_with(b"/bin/cairn\0node\0--config\0", &arguments));
        assert!(!runs_with(b"/bin/cairn\0", &arguments));
        assert!(!runs_with(b"", &arguments));
    }

    /// A child that ends with the test, whatever comes of it.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Self {
            let child = Command::new("sleep").arg("600").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
            Self(child.unwrap())
        }

        /// Right after the start the kernel may not have the new command line in place yet.
        async fn find(&self, arguments: &[&str]) -> Process {
            loop {
                match Process::find(self.0.id(), &words(arguments)).unwrap() {
                    Some(process) => return process,
                    None => tokio::task::yield_now().await,
                }
            }
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    const AMPLE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn a_process_is_found_signalled_and_awaited() {
        let mut sleeper = Sleeper::start();
        let found = timeout(AMPLE, sleeper.find(&["600"])).await.unwrap();
        assert_eq!(found.pid(), sleeper.0.id());
        found.signal(Signal::SIGKILL).unwrap();
        timeout(AMPLE, found.ended()).await.unwrap().unwrap();
        assert!(Process::find(found.pid(), &words(&["600"])).unwrap().is_none(), "ended, and not yet collected");
        assert_eq!(sleeper.0.wait().unwrap().signal(), Some(9));
        found.signal(Signal::SIGKILL).unwrap();
        assert!(Process::find(found.pid(), &words(&["600"])).unwrap().is_none());
    }

    #[tokio::test]
    async fn a_number_given_to_another_process_is_nobody() {
        let other = Sleeper::start();
        timeout(AMPLE, other.find(&["600"])).await.unwrap();
        let daemon = words(&["node", "--config", "node-1.toml"]);
        assert!(Process::find(other.0.id(), &daemon).unwrap().is_none());
    }
}
