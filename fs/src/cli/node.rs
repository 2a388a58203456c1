use std::path::PathBuf;

use bytesize::ByteSize;
use cairn_node::DeviceConfig;
use clap::{Args, Subcommand};

use super::daemon::prepare_process;
use super::logging::LogArguments;
use super::node_drain::DrainArguments;
use super::node_events::EventsArguments;
use super::node_list::ListArguments;
use super::node_maintenance::MaintenanceArguments;
use super::node_rebalance::RebalanceArguments;
use super::node_remove::RemoveArguments;
use super::node_undrain::UndrainArguments;
use super::shutdown::StopSignals;
use super::{ExitStatus, Failure, config_file};

/// `cairn node`: runs a storage node, or says what is to become of nodes.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct NodeArguments {
    #[command(subcommand)]
    command: Option<NodeCommand>,

    /// Configuration file
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,

    /// Listen outside loopback although nothing is encrypted or authenticated
    #[arg(long)]
    insecure: bool,

    /// Keep chunks in DIR, as device NAME of the node; once for each, in place of the configuration's
    #[arg(long = "device", value_name = "NAME=DIR[:LIMIT]")]
    devices: Vec<DeviceConfig>,

    /// Go on without a device that is lost, for ever: its chunks are made again elsewhere
    #[arg(long = "without-device", value_name = "NAME")]
    without_devices: Vec<String>,

    /// What rebuilding, moving and verifying may read and write here in a second; in place of the configuration's
    #[arg(long, value_name = "SIZE")]
    background_bandwidth: Option<ByteSize>,

    #[command(flatten)]
    log: LogArguments,
}

#[derive(Debug, Subcommand)]
enum NodeCommand {
    /// List the nodes, what lies on each and what they wait for
    List(ListArguments),
    /// Show what happened to a node
    Events(EventsArguments),
    /// Move every chunk of a node to others
    Drain(DrainArguments),
    /// Return a node to service: ends draining and maintenance
    Undrain(UndrainArguments),
    /// Announce that a node may be away for a while
    Maintenance(MaintenanceArguments),
    /// Show, stop or start the moving of chunks from fuller nodes to emptier ones
    Rebalance(RebalanceArguments),
    /// Take a node out of the cluster for ever
    Remove(RemoveArguments),
}

impl NodeArguments {
    pub(crate) fn subject(&self) -> String {
        match (&self.command, &self.config) {
            (Some(NodeCommand::List(_)), _) => "node list".to_owned(),
            (Some(NodeCommand::Events(events)), _) => events.subject(),
            (Some(NodeCommand::Drain(drain)), _) => drain.subject(),
            (Some(NodeCommand::Undrain(undrain)), _) => undrain.subject(),
            (Some(NodeCommand::Maintenance(maintenance)), _) => maintenance.subject(),
            (Some(NodeCommand::Rebalance(_)), _) => "node rebalance".to_owned(),
            (Some(NodeCommand::Remove(remove)), _) => remove.subject(),
            (None, Some(config)) => format!("node {}", config.display()),
            (None, None) => "node".to_owned(),
        }
    }

    /// Whether it is to run a node.
    pub(crate) fn is_daemon(&self) -> bool {
        self.command.is_none()
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        match self.command {
            Some(NodeCommand::List(list)) => list.run().await,
            Some(NodeCommand::Events(events)) => events.run().await,
            Some(NodeCommand::Drain(drain)) => drain.run().await,
            Some(NodeCommand::Undrain(undrain)) => undrain.run().await,
            Some(NodeCommand::Maintenance(maintenance)) => maintenance.run().await,
            Some(NodeCommand::Rebalance(rebalance)) => rebalance.run().await,
            Some(NodeCommand::Remove(remove)) => remove.run().await,
            None => self.run_daemon().await,
        }
    }

    async fn run_daemon(self) -> Result<ExitStatus, Failure> {
        prepare_process()?;
        let mut config: cairn_node::Config = config_file::load(&self.config.ok_or(Failure::NoConfig)?)?;
        config.insecure |= self.insecure;
        if !self.devices.is_empty() {
            config.devices = self.devices;
        }
        config.without_devices = self.without_devices;
        config.background_bandwidth = self.background_bandwidth.unwrap_or(config.background_bandwidth);
        self.log.install()?;
        let signals = StopSignals::listen()?;
        cairn_node::run(config, signals.first()).await?;
        Ok(ExitStatus::Done)
    }
}
