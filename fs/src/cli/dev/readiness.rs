use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::board::Board;
use super::daemon::{Daemon, DaemonKind};
use super::directory::{ClusterDirectory, replace_file};
use super::observation::{Observation, Observer, answers};
use super::supervision::Supervision;
use super::{DevFailure, DevSettings};

/// How often is looked. The masters answer questions; they do not announce who became active.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// Waits until the daemons on the board are ready; fails when one of them ends, or at the deadline.
pub(crate) async fn wait_ready(
    directory: &ClusterDirectory,
    settings: &DevSettings,
    daemons: &[Daemon],
    supervision: &mut Supervision,
    board: &mut Board,
    patience: Duration,
) -> Result<(), DevFailure> {
    let ready = async {
        let mut observer = Observer::of(settings);
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !board.waiting().is_empty() {
            tokio::select! {
                end = supervision.next_end() => return Err(supervision.early_end(&end?, directory)),
                _ = looks.tick() => look(directory, daemons, &mut observer, board).await?,
            }
        }
        Ok(())
    };
    let in_time = timeout(patience, ready).await;
    in_time.unwrap_or_else(|_| Err(too_slow(directory, board, patience)))
}

/// Waits until a daemon answers at its address; fails when it ends, or at the deadline.
pub(crate) async fn wait_answers(
    directory: &ClusterDirectory,
    daemon: &Daemon,
    supervision: &mut Supervision,
    board: &mut Board,
    patience: Duration,
) -> Result<(), DevFailure> {
    let answering = async {
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                end = supervision.next_end() => return Err(supervision.early_end(&end?, directory)),
                _ = looks.tick() => if answers(daemon).await {
                    board.ready(daemon, "");
                    return Ok(());
                },
            }
        }
    };
    let in_time = timeout(patience, answering).await;
    in_time.unwrap_or_else(|_| Err(too_slow(directory, board, patience)))
}

fn too_slow(directory: &ClusterDirectory, board: &Board, patience: Duration) -> DevFailure {
    DevFailure::TooSlow { seconds: patience.as_secs(), waiting: board.waiting().join(", "), logs: directory.logs() }
}

async fn look(
    directory: &ClusterDirectory,
    daemons: &[Daemon],
    observer: &mut Observer,
    board: &mut Board,
) -> Result<(), DevFailure> {
    let seen = observer.look().await;
    for daemon in daemons {
        let is_told = seen.elected && is_new_life(directory, daemon, &seen) && seen.serves(daemon);
        if board.is_waiting_for(daemon) && is_told && answers(daemon).await {
            remember_life(directory, daemon, &seen)?;
            board.ready(daemon, if seen.is_elected(daemon) { "elected" } else { "" });
        }
    }
    Ok(())
}

/// Whether the masters speak of the process that was started now. For a while after a node's end they
/// still know its process of before as active.
fn is_new_life(directory: &ClusterDirectory, daemon: &Daemon, seen: &Observation) -> bool {
    let before = std::fs::read_to_string(directory.boot_file(&daemon.name)).ok();
    before.is_none() || seen.boot(daemon) != before
}

fn remember_life(directory: &ClusterDirectory, daemon: &Daemon, seen: &Observation) -> Result<(), DevFailure> {
    match seen.boot(daemon) {
        Some(boot) if daemon.kind == DaemonKind::Node => replace_file(&directory.boot_file(&daemon.name), &boot),
        _ => Ok(()),
    }
}
