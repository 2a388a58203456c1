use std::fmt;
use std::path::Path;

use cairn_proto::transport::{Liveness, TcpConnector, channel};
use cairn_proto::wire;
use cairn_proto::wire::metadata_client::MetadataClient;
use serde::Serialize;

use super::cairn_client::CairnClient;
use super::error::KvError;
use super::etcd_client::EtcdClient;
use super::etcd_members::EtcdMembers;
use super::service_client::ServiceClient;
use crate::process::Process;
use crate::{ClusterOptions, DevCluster};

/// One of the services that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// Masters of a dev cluster.
    Cairn,
    /// etcd of the distribution.
    Etcd,
}

impl fmt::Display for System {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Cairn => "cairn",
            Self::Etcd => "etcd",
        })
    }
}

/// A running cluster of one system.
#[derive(Debug)]
pub(super) enum Contestant {
    Cairn(Box<DevCluster>),
    Etcd(EtcdMembers),
}

impl Contestant {
    /// A new cluster of so many masters or members. A dev cluster has one storage node beside, which has nothing to do.
    pub(super) fn start(system: System, members: usize, folder: &Path) -> Result<Self, KvError> {
        Ok(match system {
            System::Cairn => {
                let options = ClusterOptions::default().masters(members).nodes(1).layout("1+0");
                Self::Cairn(Box::new(DevCluster::start(options)))
            }
            System::Etcd => Self::Etcd(EtcdMembers::start(folder, members)?),
        })
    }

    /// So many clients of the member that serves.
    pub(super) async fn connect(&self, clients: usize) -> Result<Vec<ServiceClient>, KvError> {
        let leader = match self {
            Self::Cairn(cluster) => elected(cluster).await?,
            Self::Etcd(members) => members.leader().await?,
        };
        let mut connected = Vec::with_capacity(clients);
        for _ in 0..clients {
            connected.push(match self {
                Self::Cairn(_) => ServiceClient::Cairn(CairnClient::connect(&leader).await?),
                Self::Etcd(_) => ServiceClient::Etcd(EtcdClient::connect(&leader)?),
            });
        }
        Ok(connected)
    }

    /// Processes whose time counts: all masters or members.
    pub(super) fn processes(&self) -> Vec<Process> {
        match self {
            Self::Cairn(cluster) => cluster.master_names().iter().map(|name| cluster.process(name)).collect(),
            Self::Etcd(members) => members.processes(),
        }
    }
}

async fn elected(cluster: &DevCluster) -> Result<String, KvError> {
    const WHAT: &str = "ask who is elected";
    let cluster_error = |said: String| KvError::Cluster { what: WHAT, said };
    let first = cluster.masters().split(',').next().unwrap_or_default();
    let connection =
        channel(&TcpConnector, first, Liveness::USUAL).map_err(|error| cluster_error(error.to_string()))?;
    let answer = MetadataClient::new(connection).get_leader(wire::GetLeaderRequest {}).await;
    let address = answer.map_err(KvError::refused(WHAT))?.into_inner().address;
    if address.is_empty() { Err(cluster_error("nobody".to_owned())) } else { Ok(address) }
}
