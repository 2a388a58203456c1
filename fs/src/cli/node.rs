use std::path::PathBuf;

use clap::Args;

use super::daemon::prepare_process;
use super::logging::LogArguments;
use super::shutdown::StopSignals;
use super::{ExitStatus, Failure, config_file};

/// `cairn node`: runs a storage node.
#[derive(Debug, Args)]
pub(crate) struct NodeArguments {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    config: PathBuf,

    /// Listen outside loopback although nothing is encrypted or authenticated
    #[arg(long)]
    insecure: bool,

    #[command(flatten)]
    log: LogArguments,
}

impl NodeArguments {
    pub(crate) fn subject(&self) -> String {
        format!("node {}", self.config.display())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        prepare_process()?;
        let mut config: cairn_node::Config = config_file::load(&self.config)?;
        config.insecure |= self.insecure;
        self.log.install()?;
        let signals = StopSignals::listen()?;
        cairn_node::run(config, signals.first()).await?;
        Ok(ExitStatus::Done)
    }
}
