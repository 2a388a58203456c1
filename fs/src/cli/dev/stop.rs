use std::time::Duration;

use futures_util::future::try_join_all;
use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::daemon::{Daemon, DaemonKind, daemons};
use super::directory::ClusterDirectory;
use super::process::Process;
use super::{DevFailure, DevSettings};
use crate::cli::{ExitStatus, Failure, console};

/// How long a master or node may take to stop in order.
const DAEMON_PATIENCE: Duration = Duration::from_secs(15);
/// How long a mount may take to finish what is being written.
const MOUNT_PATIENCE: Duration = Duration::from_mins(1);

/// Stops the cluster, by way of the `cairn dev` that watches over it where there is one.
pub(crate) async fn run(directory: &ClusterDirectory) -> Result<ExitStatus, Failure> {
    let settings: DevSettings = directory.existing_settings()?;
    if let Some(pid) = directory.lock_holder()? {
        let holder = Process::open(pid).map_err(DevFailure::process("find", "the other `cairn dev`"))?;
        // Asked again with the process in hand: if it has let go, its number may mean another by now.
        if let Some(holder) = holder.filter(|_| directory.lock_holder().is_ok_and(|now| now == Some(pid))) {
            holder.signal(Signal::SIGTERM).map_err(DevFailure::process("stop", "the other `cairn dev`"))?;
            holder.ended().await.map_err(DevFailure::process("wait for", "the other `cairn dev`"))?;
        }
    }
    let _lock = directory.lock()?;
    stop_all(directory, &daemons(directory, &settings)).await
}

/// Stops every daemon that runs: the mount first, so that it can finish; then the nodes, while there are
/// masters to take leave of; then the masters.
pub(crate) async fn stop_all(directory: &ClusterDirectory, daemons: &[Daemon]) -> Result<ExitStatus, Failure> {
    let mut killed = Vec::new();
    for kind in [DaemonKind::Mount, DaemonKind::Node, DaemonKind::Master] {
        let of_kind = daemons.iter().filter(|daemon| daemon.kind == kind);
        let stopped = try_join_all(of_kind.map(|daemon| stop(directory, daemon))).await?;
        killed.extend(stopped.into_iter().flatten());
    }
    if killed.is_empty() { Ok(ExitStatus::Done) } else { Err(DevFailure::KilledAtStop(killed.join(", ")).into()) }
}

/// Stops one daemon; answers its name if it had to be killed.
async fn stop(directory: &ClusterDirectory, daemon: &Daemon) -> Result<Option<String>, DevFailure> {
    let Some(process) = daemon.process(directory)? else {
        daemon.forget(directory)?;
        return Ok(None);
    };
    let patience = if daemon.kind == DaemonKind::Mount { MOUNT_PATIENCE } else { DAEMON_PATIENCE };
    let signal = |signal| process.signal(signal).map_err(DevFailure::process("stop", &daemon.name));
    signal(Signal::SIGTERM)?;
    // One that is held by SIGSTOP hears of it only when it goes on.
    signal(Signal::SIGCONT)?;
    let wait_for = DevFailure::process("wait for", &daemon.name);
    let killed = if let Ok(ended) = timeout(patience, process.ended()).await {
        ended.map(|()| None)
    } else {
        signal(Signal::SIGKILL)?;
        process.ended().await.map(|()| Some(daemon.name.clone()))
    };
    let killed = killed.map_err(wait_for)?;
    daemon.forget(directory)?;
    console::message(format_args!(" {:10} {}", daemon.name, if killed.is_some() { "killed" } else { "stopped" }));
    Ok(killed)
}
