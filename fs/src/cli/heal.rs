use clap::{Args, Subcommand};

use super::heal_start::StartArguments;
use super::heal_status::StatusArguments;
use super::{ExitStatus, Failure};

/// `cairn heal`: what is missing of blobs, and its rebuilding.
#[derive(Debug, Args)]
pub(crate) struct HealArguments {
    #[command(subcommand)]
    command: HealCommand,
}

#[derive(Debug, Subcommand)]
enum HealCommand {
    /// Show what waits to be rebuilt, how fast it goes and how long it takes
    Status(StatusArguments),
    /// Look for all that is missing and rebuild it now, what was put off as well
    Start(StartArguments),
}

impl HealArguments {
    pub(crate) fn subject(&self) -> String {
        match &self.command {
            HealCommand::Status(_) => "heal status".to_owned(),
            HealCommand::Start(_) => "heal start".to_owned(),
        }
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        match self.command {
            HealCommand::Status(arguments) => arguments.run().await,
            HealCommand::Start(arguments) => arguments.run().await,
        }
    }
}
