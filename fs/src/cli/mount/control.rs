use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener as BlockingListener, UnixStream as BlockingStream};
use std::path::Path;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// The one thing that can be asked of a mount.
const UMOUNT: &str = "umount";
/// Longest line that is read from the other side.
const LINE_LIMIT_BYTES: u64 = 1 << 20;

/// Where a running mount can be told to end, and says how that went. The socket has no file: its name is
/// taken while the process lives, and only its owner and root are heard.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: UnixListener,
}

/// Somebody who asked a mount to end and waits for the outcome.
#[derive(Debug)]
pub(crate) struct UmountRequest {
    stream: UnixStream,
}

/// How the end of a mount went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UmountOutcome {
    /// Files that were still being written and were committed as they were.
    pub(crate) committed: usize,
    /// What could not be committed or ended, a line each.
    pub(crate) failures: Vec<String>,
}

impl ControlSocket {
    /// Takes the name that belongs to the mount point.
    pub(crate) fn bind(mount_point: &Path) -> io::Result<Self> {
        let listener = BlockingListener::bind_addr(&address(mount_point)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener: UnixListener::from_std(listener)? })
    }

    /// Waits until somebody who may asks the mount to end.
    pub(crate) async fn umount_request(&self) -> io::Result<UmountRequest> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if let Some(request) = UmountRequest::read(stream).await {
                return Ok(request);
            }
        }
    }
}

impl UmountRequest {
    /// What came in, if it is a request and its sender may make it. A caller who sends something else, or
    /// hangs up, changes nothing.
    async fn read(stream: UnixStream) -> Option<Self> {
        let sender = stream.peer_cred().ok()?.uid();
        if sender != 0 && sender != geteuid().as_raw() {
            return None;
        }
        let mut lines = BufReader::new(stream);
        let line = read_line(&mut lines).await.ok()?;
        (line == UMOUNT).then(|| Self { stream: lines.into_inner() })
    }

    /// Tells the outcome. Whoever asked may have gone; the mount has ended all the same.
    pub(crate) async fn answer(mut self, outcome: &UmountOutcome) -> io::Result<()> {
        let text = serde_json::to_string(outcome).expect("lines of text are always JSON");
        self.stream.write_all(format!("{text}\n").as_bytes()).await
    }
}

/// Asks the process that has the mount to end it, and waits for the outcome; `None` where there is none.
pub(crate) async fn ask_to_umount(mount_point: &Path) -> io::Result<Option<UmountOutcome>> {
    let stream = match BlockingStream::connect_addr(&address(mount_point)?) {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(None),
        Err(error) => return Err(error),
    };
    stream.set_nonblocking(true)?;
    let mut stream = BufReader::new(UnixStream::from_std(stream)?);
    stream.get_mut().write_all(format!("{UMOUNT}\n").as_bytes()).await?;
    let line = read_line(&mut stream).await?;
    serde_json::from_str(&line).map(Some).map_err(io::Error::other)
}

async fn read_line(lines: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    lines.take(LINE_LIMIT_BYTES).read_line(&mut line).await?;
    match line.strip_suffix('\n') {
        Some(line) => Ok(line.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// An abstract address: the path itself may be longer than an address can be.
fn address(mount_point: &Path) -> io::Result<SocketAddr> {
    let digest = blake3::hash(mount_point.as_os_str().as_encoded_bytes());
    SocketAddr::from_abstract_name(format!("cairn/mount/{}", digest.to_hex()))
}

#[cfg(test)]
mod tests {
    use super::{ControlSocket, UmountOutcome, address, ask_to_umount};
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};

    /// A path that no other test or process uses.
    fn mount_point(name: &str) -> PathBuf {
        Path::new("/test").join(std::process::id().to_string()).join(name)
    }

    #[tokio::test]
    async fn whoever_asks_gets_the_outcome() {
        let path = mount_point("asked");
        let socket = ControlSocket::bind(&path).unwrap();
        let outcome = UmountOutcome { committed: 2, failures: vec!["a: full".to_owned()] };
        let answer = async { socket.umount_request().await.unwrap().answer(&outcome).await.unwrap() };
        let (answer, ()) = tokio::join!(ask_to_umount(&path), answer);
        assert_eq!(answer.unwrap(), Some(outcome));
    }

    #[tokio::test]
    async fn garbage_and_hang_ups_are_no_request() {
        let path = mount_point("garbage");
        let socket = ControlSocket::bind(&path).unwrap();
        drop(UnixStream::connect_addr(&address(&path).unwrap()).unwrap());
        UnixStream::connect_addr(&address(&path).unwrap()).unwrap().write_all(b"\xff\xfe\n").unwrap();
        let outcome = UmountOutcome { committed: 0, failures: Vec::new() };
        let answer = async { socket.umount_request().await.unwrap().answer(&outcome).await.unwrap() };
        let (answer, ()) = tokio::join!(ask_to_umount(&path), answer);
        assert_eq!(answer.unwrap(), Some(outcome));
    }

    #[tokio::test]
    async fn a_mount_that_does_not_run_is_nobody() {
        assert_eq!(ask_to_umount(&mount_point("gone")).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_mount_point_has_one_process() {
        let path = mount_point("twice");
        let _first = ControlSocket::bind(&path).unwrap();
        assert!(ControlSocket::bind(&path).is_err());
    }

    #[tokio::test]
    async fn a_mount_that_dies_in_between_is_a_failure() {
        let path = mount_point("dies");
        let socket = ControlSocket::bind(&path).unwrap();
        let die = async { drop(socket.umount_request().await.unwrap()) };
        let (answer, ()) = tokio::join!(ask_to_umount(&path), die);
        assert!(answer.is_err());
    }
}
