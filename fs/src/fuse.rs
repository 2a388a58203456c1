//! The FUSE adapter: the only place that knows `fuser`. It turns requests of the kernel into operations of the file
//! system, each with one answer, and mounts and unmounts.

mod adapter;
mod error;
mod kernel_names;
mod mount_table;
mod options;
mod request_runner;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::mount::{MntFlags, umount2};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::filesystem::{BlobStore, Drained, FileSystem, LostFile};
use adapter::Adapter;
use kernel_names::KernelNames;
use request_runner::RequestRunner;

pub use error::MountError;
pub(crate) use mount_table::{MountEntry, mounted_at};
pub use options::MountOptions;

/// Threads that read requests.
const LOOP_THREADS: usize = 2;
/// What the kernel reads ahead of a sequential reader.
const READ_AHEAD_KIB: u32 = 1024;
/// Name in the mount table.
const SOURCE: &str = "cairn";
/// How long a new mount waits to be told of changes. What is listed before, the kernel keeps for a second only; a mount
/// without it works all the same.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);
/// How long an unmount waits for the kernel to end the session. One that was only detached ends when its users do.
const SESSION_END_WAIT: Duration = Duration::from_secs(10);

/// A mounted directory. Dropped without [`Mount::unmount`] it is unmounted, and files being written are lost.
pub struct Mount<S: BlobStore> {
    path: PathBuf,
    files: Arc<FileSystem<S>>,
    session: BackgroundSession,
    entry: Option<MountEntry>,
    ended: watch::Receiver<bool>,
    /// Has the kernel forget what changes elsewhere.
    following: AbortOnDropHandle<()>,
}

impl<S: BlobStore> Mount<S> {
    /// Mounts `store` at `path`, over what a mount of ours left there when it died. When it returns, the directory
    /// is ready.
    pub async fn new(store: S, options: MountOptions, path: &Path) -> Result<Self, MountError> {
        let files = Arc::new(FileSystem::new(store, options.files.clone()));
        let (ended_sender, ended) = watch::channel(false);
        let adapter = Adapter {
            files: files.clone(),
            runner: RequestRunner::new(Handle::current(), options.deadline),
            ended: ended_sender,
            shows_extended_attributes: options.shows_extended_attributes,
            bypasses_pages: false,
        };
        let place = path.to_path_buf();
        let mounting = tokio::task::spawn_blocking(move || {
            clear_stale(&place)?;
            let place = canonical(&place)?;
            let session = start(adapter, &place, &options)?;
            let entry = mounted_at(&place).map_err(|source| MountError::Mount { path: place.clone(), source })?;
            if let Some(entry) = &entry {
                raise_read_ahead(entry);
            }
            Ok((place, session, entry))
        });
        let (path, session, entry) = mounting
            .await
            .map_err(|panic| MountError::BadPath { path: path.to_path_buf(), why: panic.to_string() })??;
        files.set_name_cache(Arc::new(KernelNames::start(session.notifier(), &path)?));
        let followed = files.clone();
        let following = AbortOnDropHandle::new(tokio::spawn(async move { followed.follow().await }));
        if tokio::time::timeout(FOLLOW_WAIT, files.followed()).await.is_err() {
            tracing::warn!("no master tells of changes yet; until one does, names are believed for a second");
        }
        Ok(Self { path, files, session, entry, ended, following })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns when the kernel has ended the mount, whoever asked for it.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut ended = self.ended.clone();
        async move {
            // An adapter that is gone has ended too.
            if ended.wait_for(|ended| *ended).await.is_err() {
                tracing::debug!("the mount's session is gone");
            }
        }
    }

    /// Files whose last bytes could not be committed when they were released.
    pub fn lost_files(&self) -> Vec<LostFile> {
        self.files.lost_files()
    }

    /// Unmounts, commits files that are still being written, and says what became of them.
    ///
    /// A directory that is in use is detached: it disappears at once, and programs that have files open there lose
    /// them when this process ends.
    pub async fn unmount(self) -> Result<Drained, MountError> {
        let Self { path, files, session, entry, mut ended, following } = self;
        drop(following);
        let unmounting = tokio::task::spawn_blocking(move || detach(&path, entry.as_ref(), session));
        unmounting.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        if tokio::time::timeout(SESSION_END_WAIT, ended.wait_for(|ended| *ended)).await.is_err() {
            tracing::warn!("programs still have files of the detached directory open");
        }
        Ok(files.drain().await)
    }
}

/// Starts the session: when it returns, kernel and adapter have agreed.
fn start<S: BlobStore>(
    adapter: Adapter<S>,
    path: &Path,
    options: &MountOptions,
) -> Result<BackgroundSession, MountError> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::FSName(SOURCE.to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoDev,
        MountOption::NoSuid,
        MountOption::NoAtime,
    ];
    config.acl = if options.allow_other { SessionACL::All } else { SessionACL::Owner };
    config.n_threads = Some(LOOP_THREADS);
    // A user who mounts by the helper may be unable to open the device, and then shares one descriptor.
    config.clone_fd = std::fs::OpenOptions::new().read(true).write(true).open("/dev/fuse").is_ok();
    Session::new(adapter, path, &config)
        .and_then(Session::spawn)
        .map_err(|source| MountError::Mount { path: path.to_path_buf(), source })
}

/// Unmounts unless somebody else did, and never what somebody else mounted at the same place since.
fn detach(path: &Path, entry: Option<&MountEntry>, session: BackgroundSession) -> Result<(), MountError> {
    let failed = |source: io::Error| MountError::Unmount { path: path.to_path_buf(), source };
    let now = mounted_at(path).map_err(failed)?;
    let is_ours = matches!((&now, entry), (Some(now), Some(ours)) if now.device == ours.device);
    if !is_ours {
        // The library would unmount the path once more when the session is dropped, whatever is there by now.
        std::mem::forget(session);
        return Ok(());
    }
    let unmounted = match umount2(path, MntFlags::UMOUNT_NOFOLLOW) {
        Err(nix::Error::EBUSY) => umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW),
        other => other,
    };
    match unmounted {
        Ok(()) => {
            std::mem::forget(session);
            Ok(())
        }
        // Only the helper may: the library knows how to ask it.
        Err(nix::Error::EPERM) => session.umount_and_join().map_err(failed),
        Err(error) => {
            std::mem::forget(session);
            Err(failed(error.into()))
        }
    }
}

/// Clears what a mount of ours left at `path` when its process died. Anything else stays, and fails the mount.
pub(crate) fn clear_stale(path: &Path) -> Result<(), MountError> {
    match std::fs::metadata(path) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENOTCONN) => {}
        _ => return Ok(()),
    }
    let bad = |why: String| MountError::BadPath { path: path.to_path_buf(), why };
    let entry = std::path::absolute(path).and_then(|path| mounted_at(&path)).map_err(|error| bad(error.to_string()))?;
    if !entry.is_some_and(|entry| entry.is_cairn()) {
        return Err(bad("a dead mount of another file system is there; unmount it first".to_owned()));
    }
    tracing::warn!(path = %path.display(), "clearing a mount whose process died");
    umount2(path, MntFlags::MNT_DETACH).map_err(|error| bad(format!("a dead mount is there: {error}")))
}

/// The path as the mount table shows it.
fn canonical(path: &Path) -> Result<PathBuf, MountError> {
    let bad = |why: String| MountError::BadPath { path: path.to_path_buf(), why };
    let place = std::fs::canonicalize(path).map_err(|error| bad(error.to_string()))?;
    if place.is_dir() { Ok(place) } else { Err(bad("it is no directory".to_owned())) }
}

/// Lets the kernel read further ahead than INIT can agree on, which takes root.
fn raise_read_ahead(entry: &MountEntry) {
    let setting = format!("/sys/class/bdi/{}/read_ahead_kb", entry.device);
    if let Err(error) = std::fs::write(&setting, READ_AHEAD_KIB.to_string()) {
        tracing::info!(setting, %error, "the kernel keeps its own read-ahead");
    }
}
