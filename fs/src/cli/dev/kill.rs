use nix::sys::signal::Signal;

use super::DevFailure;
use super::daemon::{daemons, find};
use super::directory::ClusterDirectory;
use crate::cli::{ExitStatus, Failure, console};

/// Ends one daemon at once and leaves its pid file, so that it shows as dead.
pub(crate) async fn run(directory: &ClusterDirectory, name: &str) -> Result<ExitStatus, Failure> {
    let settings = directory.existing_settings()?;
    let daemons = daemons(directory, &settings);
    let daemon = find(&daemons, name)?;
    let process = daemon.process(directory)?.ok_or_else(|| DevFailure::NotRunning(name.to_owned()))?;
    process.signal(Signal::SIGKILL).map_err(DevFailure::process("kill", name))?;
    process.ended().await.map_err(DevFailure::process("wait for", name))?;
    console::message(format_args!(" {name:10} killed (pid {})", process.pid()));
    Ok(ExitStatus::Done)
}
