use comfy_table::Table;
use serde::Serialize;

use super::DevSettings;
use super::daemon::{Daemon, daemons};
use super::directory::ClusterDirectory;
use super::observation::{Observation, Observer, answers};
use crate::cli::table::plain_table;
use crate::cli::{ExitStatus, Failure, console};

/// What `dev status --json` prints.
#[derive(Debug, Serialize)]
struct DevStatus {
    daemons: Vec<DaemonStatus>,
}

#[derive(Debug, Serialize)]
struct DaemonStatus {
    name: String,
    pid: Option<u32>,
    address: String,
    state: DaemonState,
}

/// What is to be said of a daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum DaemonState {
    /// It runs and does its work.
    Ready,
    /// It runs, and the cluster does not count on it (yet).
    Starting,
    /// It was started, and is gone without having been stopped.
    Dead,
    /// It was never started, or was stopped.
    Stopped,
}

impl DaemonState {
    fn of(runs: bool, serves: bool, was_started: bool) -> Self {
        match (runs, serves, was_started) {
            (true, true, _) => Self::Ready,
            (true, false, _) => Self::Starting,
            (false, _, true) => Self::Dead,
            (false, _, false) => Self::Stopped,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Dead => "dead",
            Self::Stopped => "stopped",
        }
    }
}

/// Shows each daemon.
pub(crate) async fn run(directory: &ClusterDirectory, json: bool) -> Result<ExitStatus, Failure> {
    let settings = directory.existing_settings()?;
    let status = look(directory, &settings).await?;
    if json {
        console::json(&status)?;
    } else {
        console::line(status.table().trim_fmt())?;
    }
    Ok(ExitStatus::Done)
}

async fn look(directory: &ClusterDirectory, settings: &DevSettings) -> Result<DevStatus, Failure> {
    let seen = Observer::of(settings).look().await;
    let mut statuses = Vec::new();
    for daemon in daemons(directory, settings) {
        statuses.push(look_at(directory, daemon, &seen).await?);
    }
    Ok(DevStatus { daemons: statuses })
}

async fn look_at(directory: &ClusterDirectory, daemon: Daemon, seen: &Observation) -> Result<DaemonStatus, Failure> {
    let process = daemon.process(directory)?;
    let serves = process.is_some() && seen.serves(&daemon) && answers(&daemon).await;
    let state = DaemonState::of(process.is_some(), serves, daemon.was_started(directory));
    Ok(DaemonStatus { pid: process.map(|process| process.pid()), name: daemon.name, address: daemon.address, state })
}

impl DevStatus {
    fn table(&self) -> Table {
        let mut table = plain_table(&["NAME", "STATE", "PID", "ADDRESS"]);
        for daemon in &self.daemons {
            let pid = daemon.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            table.add_row([daemon.name.as_str(), daemon.state.name(), &pid, &daemon.address]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::{DaemonState, DaemonStatus, DevStatus};

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let daemon = |name: &str, pid, address: &str, state| DaemonStatus {
            name: name.to_owned(),
            pid,
            address: address.to_owned(),
            state,
        };
        let status = DevStatus {
            daemons: vec![
                daemon("master-1", Some(12), "127.0.0.1:7001", DaemonState::Ready),
                daemon("node-1", None, "127.0.0.1:7011", DaemonState::Dead),
            ],
        };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            r#"{"daemons":[{"name":"master-1","pid":12,"address":"127.0.0.1:7001","state":"ready"},{"name":"node-1","pid":null,"address":"127.0.0.1:7011","state":"dead"}]}"#
        );
        let table = status.table().to_string();
        assert!(table.contains("node-1") && table.contains("dead"), "{table}");
    }

    #[test]
    fn a_daemon_that_died_is_told_from_one_that_was_stopped() {
        assert_eq!(DaemonState::of(true, true, true), DaemonState::Ready);
        assert_eq!(DaemonState::of(true, false, true), DaemonState::Starting);
        assert_eq!(DaemonState::of(false, false, true), DaemonState::Dead);
        assert_eq!(DaemonState::of(false, true, false), DaemonState::Stopped);
    }

    #[test]
    fn names_are_the_same_for_people_and_programs() {
        for state in [DaemonState::Ready, DaemonState::Starting, DaemonState::Dead, DaemonState::Stopped] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
    }
}
