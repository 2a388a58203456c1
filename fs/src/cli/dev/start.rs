use std::time::Duration;

use super::board::Board;
use super::daemon::{DaemonKind, daemons, find};
use super::directory::ClusterDirectory;
use super::readiness::{wait_answers, wait_ready};
use super::supervision::Supervision;
use crate::cli::{ExitStatus, Failure, console};

/// How long a daemon may take until it is ready.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Starts one daemon that does not run and waits until it is ready. A master is when it answers: whether
/// one is elected is not up to it alone.
pub(crate) async fn run(directory: &ClusterDirectory, name: &str) -> Result<ExitStatus, Failure> {
    let settings = directory.existing_settings()?;
    let daemons = daemons(directory, &settings);
    let daemon = find(&daemons, name)?;
    if let Some(process) = daemon.process(directory)? {
        console::message(format_args!(" {name:10} runs already (pid {})", process.pid()));
        return Ok(ExitStatus::Done);
    }
    let mut supervision = Supervision::new();
    supervision.watch_child(daemon, daemon.spawn(directory)?);
    let this = std::slice::from_ref(daemon);
    let mut board = Board::new(this);
    let ready = match daemon.kind {
        DaemonKind::Master => wait_answers(directory, daemon, &mut supervision, &mut board, START_PATIENCE).await,
        DaemonKind::Node | DaemonKind::Mount => {
            wait_ready(directory, &settings, this, &mut supervision, &mut board, START_PATIENCE).await
        }
    };
    board.close();
    ready?;
    Ok(ExitStatus::Done)
}
