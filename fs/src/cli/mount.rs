//! `cairn mount`: shows the keys as files of one folder.

mod background;
mod control;
mod failure;
mod options;
mod point;

use std::path::{Path, PathBuf};

use clap::Args;
use tokio::select;

use super::cluster::ClusterArguments;
use super::daemon::prepare_process;
use super::logging::LogArguments;
use super::shutdown::StopSignals;
use super::{ExitStatus, Failure, console};
use crate::client::Client;
use crate::filesystem::Drained;
use crate::fuse::{Mount, MountOptions, mounted_at};
use control::{ControlSocket, UmountOutcome, UmountRequest};
use options::MountOption;

pub(crate) use control::ask_to_umount;
pub(crate) use failure::MountFailure;
pub(crate) use point::{is_dead, mount_point};

/// What the line begins with that says a mount is ready.
const MOUNTED_AT: &str = "mounted at ";

/// `cairn mount`: shows the keys as files of one folder.
#[derive(Debug, Args)]
pub(crate) struct MountArguments {
    /// Folder to mount at
    path: PathBuf,

    /// `allow_other`, `layout=N+M`, `cache_size=SIZE`, `write_memory=SIZE`, `on_killed_writer=commit|abort`, `xattrs`
    #[arg(short, value_name = "OPTIONS", value_delimiter = ',')]
    options: Vec<MountOption>,

    /// Return when it is mounted and leave it running
    #[arg(long)]
    daemon: bool,

    /// With --daemon, where the log goes [default: the user's state folder]
    #[arg(long, value_name = "FILE")]
    log_file: Option<PathBuf>,

    #[command(flatten)]
    log: LogArguments,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Why a mount is to end.
enum End {
    /// A signal asked for it.
    Signal,
    /// `cairn umount` asked for it and waits for the outcome.
    Request(UmountRequest),
    /// Somebody took it away.
    Unmounted,
}

impl MountArguments {
    pub(crate) fn subject(&self) -> String {
        format!("mount {}", self.path.display())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let path = mount_point(&self.path)?;
        if self.daemon { self.start_in_background(&path).await } else { self.stay(&path).await }
    }

    async fn start_in_background(self, path: &Path) -> Result<ExitStatus, Failure> {
        let default = || background::default_log(path, |name| std::env::var_os(name).map(PathBuf::from));
        background::start(&self.log_file.unwrap_or_else(default)).await?;
        console::line(format_args!("{MOUNTED_AT}{}", path.display()))?;
        Ok(ExitStatus::Done)
    }

    async fn stay(self, path: &Path) -> Result<ExitStatus, Failure> {
        prepare_process()?;
        let control = claim(path)?;
        self.log.install()?;
        let signals = StopSignals::listen()?;
        let client = self.connect(path).await?;
        let mounted = Mount::new(client.clone(), self.mount_options(), path).await;
        let mount = mounted.map_err(MountFailure::from)?;
        console::line(format_args!("{MOUNTED_AT}{}", path.display()))?;
        console::flush()?;
        let end = wait_for_end(&mount, &control, signals).await?;
        let drained = mount.unmount().await;
        client.close().await;
        report(end, drained.map_err(MountFailure::from)?).await
    }

    async fn connect(&self, path: &Path) -> Result<Client, Failure> {
        let mut options = self.cluster.client_options(&format!("mount {}", path.display()))?;
        for option in &self.options {
            match option {
                MountOption::CacheSize(size) => options.cache_bytes = in_memory(size.as_u64()),
                MountOption::WriteMemory(size) => options.write_memory_bytes = in_memory(size.as_u64()),
                MountOption::Layout(layout) => options.layout = Some(*layout),
                MountOption::AllowOther
                | MountOption::OnKilledWriter(_)
                | MountOption::Attributes
                | MountOption::WithoutMeaning => {}
            }
        }
        Ok(Client::connect(options).await?)
    }

    fn mount_options(&self) -> MountOptions {
        let mut options = MountOptions::default();
        for option in &self.options {
            match option {
                MountOption::AllowOther => options.allow_other = true,
                MountOption::Layout(layout) => options.files.layout = Some(*layout),
                MountOption::OnKilledWriter(becomes) => options.files.killed_writer = *becomes,
                MountOption::Attributes => options.shows_extended_attributes = true,
                MountOption::CacheSize(_) | MountOption::WriteMemory(_) | MountOption::WithoutMeaning => {}
            }
        }
        options
    }
}

/// A size for which memory is wanted; none is larger than what can be addressed.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Makes this process the one that has the mount at `path`.
fn claim(path: &Path) -> Result<ControlSocket, MountFailure> {
    let control = ControlSocket::bind(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::AddrInUse => MountFailure::Mounted(path.to_owned()),
        _ => MountFailure::Start(error),
    })?;
    let entry = mounted_at(path).map_err(MountFailure::Table)?;
    // What a dead mount left there is taken away by the new one; another process's mount that lives stays.
    let lives = entry.is_some_and(|entry| entry.is_cairn()) && !is_dead(path);
    if lives { Err(MountFailure::Mounted(path.to_owned())) } else { Ok(control) }
}

/// Waits until somebody wants the mount to end. A further signal then ends the process at once.
async fn wait_for_end(
    mount: &Mount<Client>,
    control: &ControlSocket,
    mut signals: StopSignals,
) -> Result<End, Failure> {
    let end = select! {
        () = signals.next() => End::Signal,
        () = mount.ended() => End::Unmounted,
        request = control.umount_request() => End::Request(request.map_err(MountFailure::BrokenOff)?),
    };
    signals.exit_at_next();
    Ok(end)
}

/// Tells how it went: to whoever asked, and by the exit code of this process.
async fn report(end: End, drained: Drained) -> Result<ExitStatus, Failure> {
    let failures: Vec<String> = drained.lost.iter().map(|lost| format!("{}: {}", lost.key, lost.error)).collect();
    let outcome = UmountOutcome { committed: drained.committed, failures };
    if let End::Request(request) = end
        && let Err(error) = request.answer(&outcome).await
    {
        tracing::warn!(%error, "whoever asked to unmount did not wait for the outcome");
    }
    if outcome.failures.is_empty() {
        return Ok(ExitStatus::Done);
    }
    Err(MountFailure::Unfinished(outcome.failures).into())
}
