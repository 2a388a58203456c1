use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::daemon::prepare_process;
use super::logging::LogArguments;
use super::master_add::AddArguments;
use super::master_leader::LeaderArguments;
use super::master_list::ListArguments;
use super::master_remove::RemoveArguments;
use super::master_transfer_leader::TransferLeaderArguments;
use super::shutdown::StopSignals;
use super::{ExitStatus, Failure, config_file};

/// `cairn master`: runs a master, or asks about masters.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct MasterArguments {
    #[command(subcommand)]
    command: Option<MasterCommand>,

    /// Configuration file
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,

    /// Listen outside loopback although nothing is encrypted or authenticated
    #[arg(long)]
    insecure: bool,

    /// Threads that serve requests; 1 has a second one beside it for connections beyond 32 [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Subcommand)]
enum MasterCommand {
    /// Say which master is elected, and until when
    Leader(LeaderArguments),
    /// List the masters
    List(ListArguments),
    /// Take a master that waits to join into the group
    Add(AddArguments),
    /// Take a master out of the group for ever
    Remove(RemoveArguments),
    /// Have another master be elected
    TransferLeader(TransferLeaderArguments),
}

impl MasterArguments {
    pub(crate) fn subject(&self) -> String {
        match (&self.command, &self.config) {
            (Some(MasterCommand::Leader(_)), _) => "master leader".to_owned(),
            (Some(MasterCommand::List(_)), _) => "master list".to_owned(),
            (Some(MasterCommand::Add(add)), _) => add.subject(),
            (Some(MasterCommand::Remove(remove)), _) => remove.subject(),
            (Some(MasterCommand::TransferLeader(transfer)), _) => transfer.subject(),
            (None, Some(config)) => format!("master {}", config.display()),
            (None, None) => "master".to_owned(),
        }
    }

    /// Whether it is to run a master.
    pub(crate) fn is_daemon(&self) -> bool {
        self.command.is_none()
    }

    /// Threads that serve requests, where told.
    pub(crate) fn threads(&self) -> Option<NonZeroUsize> {
        self.threads
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        match self.command {
            Some(MasterCommand::Leader(leader)) => leader.run().await,
            Some(MasterCommand::List(list)) => list.run().await,
            Some(MasterCommand::Add(add)) => add.run().await,
            Some(MasterCommand::Remove(remove)) => remove.run().await,
            Some(MasterCommand::TransferLeader(transfer)) => transfer.run().await,
            None => self.run_daemon().await,
        }
    }

    async fn run_daemon(self) -> Result<ExitStatus, Failure> {
        prepare_process()?;
        let mut config: cairn_master::Config = config_file::load(&self.config.ok_or(Failure::NoConfig)?)?;
        config.insecure |= self.insecure;
        self.log.install()?;
        let signals = StopSignals::listen()?;
        cairn_master::run(config, signals.first()).await?;
        Ok(ExitStatus::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::MasterArguments;
    use clap::{Args, Command, FromArgMatches};

    fn parse(words: &[&str]) -> MasterArguments {
        let matches = MasterArguments::augment_args(Command::new("master")).get_matches_from(words);
        MasterArguments::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn a_file_runs_a_master_and_a_word_asks() {
        let daemon = parse(&["master", "--config", "/f.toml", "--insecure"]);
        assert!(daemon.is_daemon() && daemon.insecure);
        assert_eq!(daemon.subject(), "master /f.toml");
        let leader = parse(&["master", "leader"]);
        assert!(!leader.is_daemon());
        assert_eq!(leader.subject(), "master leader");
    }
}
