use clap::{Args, Subcommand};

use super::scrub_start::StartArguments;
use super::scrub_status::StatusArguments;
use super::{ExitStatus, Failure};

/// `cairn scrub`: whether what nodes keep is still what was written.
#[derive(Debug, Args)]
pub(crate) struct ScrubArguments {
    #[command(subcommand)]
    command: ScrubCommand,
}

#[derive(Debug, Subcommand)]
enum ScrubCommand {
    /// Show how each node verifies what it keeps, and what it found
    Status(StatusArguments),
    /// Have nodes verify all that they keep, at once
    Start(StartArguments),
}

impl ScrubArguments {
    pub(crate) fn subject(&self) -> String {
        match &self.command {
            ScrubCommand::Status(_) => "scrub status".to_owned(),
            ScrubCommand::Start(_) => "scrub start".to_owned(),
        }
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        match self.command {
            ScrubCommand::Status(arguments) => arguments.run().await,
            ScrubCommand::Start(arguments) => arguments.run().await,
        }
    }
}
