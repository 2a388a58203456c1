//! `cairn dev`: a whole cluster on this machine, every daemon a process of its own.

mod board;
mod daemon;
mod daemon_config;
mod directory;
mod failure;
mod kill;
mod observation;
mod ports;
mod process;
mod readiness;
mod settings;
mod start;
mod status;
mod stop;
mod supervision;
mod up;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{ExitStatus, Failure};
use directory::ClusterDirectory;
use up::UpArguments;

pub(crate) use failure::DevFailure;
pub(crate) use settings::DevSettings;

/// `cairn dev`: runs a whole cluster on this machine.
#[derive(Debug, Args)]
pub(crate) struct DevArguments {
    /// Directory of the cluster
    #[arg(long, global = true, value_name = "DIR", default_value = "./cairn-dev")]
    dir: PathBuf,

    #[command(flatten)]
    up: UpArguments,

    #[command(subcommand)]
    command: Option<DevCommand>,
}

#[derive(Debug, Subcommand)]
enum DevCommand {
    /// Stop every daemon in order: the mount drained first, then nodes, then masters
    Stop,
    /// Show each daemon: whether it runs, and whether it is ready
    Status {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// End one daemon as a power cut would (SIGKILL)
    Kill {
        /// `master-1`, `node-3`, `mount`, ...
        name: String,
    },
    /// Start one daemon that does not run
    Start {
        /// `master-1`, `node-3`, `mount`, ...
        name: String,
    },
}

impl DevArguments {
    pub(crate) fn subject(&self) -> String {
        match &self.command {
            None => "dev".to_owned(),
            Some(DevCommand::Stop) => "dev stop".to_owned(),
            Some(DevCommand::Status { .. }) => "dev status".to_owned(),
            Some(DevCommand::Kill { name }) => format!("dev kill {name}"),
            Some(DevCommand::Start { name }) => format!("dev start {name}"),
        }
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let directory = ClusterDirectory::at(&self.dir)?;
        match self.command {
            None => up::run(&directory, self.up).await,
            Some(DevCommand::Stop) => stop::run(&directory).await,
            Some(DevCommand::Status { json }) => status::run(&directory, json).await,
            Some(DevCommand::Kill { name }) => kill::run(&directory, &name).await,
            Some(DevCommand::Start { name }) => start::run(&directory, &name).await,
        }
    }
}
