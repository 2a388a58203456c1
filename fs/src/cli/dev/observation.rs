use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::BootId;
use cairn_proto::transport::{Liveness, TcpConnector, channel};
use cairn_proto::wire::metadata_client::MetadataClient;
use cairn_proto::wire::{GetLeaderRequest, GetStatusResponse, MasterState, NodeState};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::DevSettings;
use super::daemon::{Daemon, DaemonKind};
use crate::cli::mount::mount_point;
use crate::client::{Client, ClientError, ClientOptions};
use crate::fuse::mounted_at;

/// How long one look at the masters may take; then it is a cluster that does not answer.
const LOOK_DEADLINE: Duration = Duration::from_secs(1);

/// What the elected master says of the daemons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// Whether an elected master answered at all.
    pub(crate) elected: bool,
    masters: BTreeMap<String, MasterSeen>,
    nodes: BTreeMap<String, NodeSeen>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MasterSeen {
    active: bool,
    elected: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NodeSeen {
    active: bool,
    boot: Bytes,
}

impl From<GetStatusResponse> for Observation {
    fn from(status: GetStatusResponse) -> Self {
        let masters = status.masters.into_iter().map(|master| {
            let active = master.state() == MasterState::Active;
            (master.name, MasterSeen { active, elected: master.elected })
        });
        let nodes = status.nodes.into_iter().map(|node| {
            let active = node.state() == NodeState::Active;
            (node.name, NodeSeen { active, boot: node.boot })
        });
        Self { elected: true, masters: masters.collect(), nodes: nodes.collect() }
    }
}

impl Observation {
    /// Whether the masters count this master or node as serving.
    pub(crate) fn serves(&self, daemon: &Daemon) -> bool {
        match daemon.kind {
            DaemonKind::Master => self.masters.get(&daemon.name).is_some_and(|master| master.active),
            DaemonKind::Node => self.nodes.get(&daemon.name).is_some_and(|node| node.active),
            DaemonKind::Mount => true,
        }
    }

    /// Whether it is the elected master.
    pub(crate) fn is_elected(&self, daemon: &Daemon) -> bool {
        daemon.kind == DaemonKind::Master && self.masters.get(&daemon.name).is_some_and(|master| master.elected)
    }

    /// The process life of a node that the masters know, as text.
    pub(crate) fn boot(&self, daemon: &Daemon) -> Option<String> {
        let node = self.nodes.get(&daemon.name)?;
        BootId::from_wire(&node.boot).ok().map(|boot| boot.to_string())
    }
}

/// Looks at the cluster again and again over one connection.
#[derive(Default)]
pub(crate) struct Observer {
    client: Option<Client>,
    masters: Vec<String>,
}

impl Observer {
    pub(crate) fn of(settings: &DevSettings) -> Self {
        Self { client: None, masters: settings.master_addresses() }
    }

    /// What the elected master says; nothing, where none answers.
    pub(crate) async fn look(&mut self) -> Observation {
        self.status().await.map(Observation::from).unwrap_or_default()
    }

    async fn status(&mut self) -> Result<GetStatusResponse, ClientError> {
        let client = if let Some(client) = &self.client {
            client
        } else {
            let mut options = ClientOptions::new(self.masters.clone(), "dev");
            options.deadline = LOOK_DEADLINE;
            self.client.insert(Client::connect(options).await?)
        };
        client.status().await
    }
}

/// Whether a daemon serves at its address, or is mounted there. A node listens once its data is open; a master listens
/// before that, so it is asked a question.
pub(crate) async fn answers(daemon: &Daemon) -> bool {
    match daemon.kind {
        DaemonKind::Master => accepts(daemon).await && says_who_is_elected(daemon).await,
        DaemonKind::Node => accepts(daemon).await,
        DaemonKind::Mount => is_mounted(Path::new(&daemon.address)),
    }
}

async fn accepts(daemon: &Daemon) -> bool {
    TcpStream::connect(&daemon.address).await.is_ok()
}

/// Any master can say who is elected, or that it knows of none; a client would wait until one is.
async fn says_who_is_elected(master: &Daemon) -> bool {
    let Ok(channel) = channel(&TcpConnector, &master.address, Liveness::USUAL) else { return false };
    let mut metadata = MetadataClient::new(channel);
    let asked = timeout(LOOK_DEADLINE, metadata.get_leader(GetLeaderRequest {}));
    asked.await.is_ok_and(|answer| answer.is_ok())
}

fn is_mounted(path: &Path) -> bool {
    let Ok(point) = mount_point(path) else { return false };
    mounted_at(&point).is_ok_and(|entry| entry.is_some_and(|entry| entry.is_cairn()))
}

#[cfg(test)]
mod tests {
    use super::Observation;
    use crate::cli::dev::daemon::daemons;
    use crate::cli::dev::directory::ClusterDirectory;
    use crate::cli::dev::settings::RequestedSettings;
    use cairn_proto::wire::{GetStatusResponse, MasterState, MasterStatus, NodeInfo, NodeState};
    use std::path::Path;

    #[test]
    fn a_daemon_serves_when_the_elected_master_says_so() {
        let settings = RequestedSettings::default().create(7000).unwrap();
        let daemons = daemons(&ClusterDirectory::at(Path::new("/d")).unwrap(), &settings);
        let master = |name: &str, state: MasterState, elected| MasterStatus {
            name: name.to_owned(),
            state: state.into(),
            elected,
            ..MasterStatus::default()
        };
        let node = |name: &str, state: NodeState| NodeInfo {
            name: name.to_owned(),
            boot: vec![0xab; 16].into(),
            state: state.into(),
            ..NodeInfo::default()
        };
        let seen = Observation::from(GetStatusResponse {
            masters: vec![
                master("master-1", MasterState::Active, true),
                master("master-2", MasterState::Unreachable, false),
                master("master-3", MasterState::Unknown, false),
            ],
            nodes: vec![node("node-1", NodeState::Active), node("node-2", NodeState::Suspect)],
            ..GetStatusResponse::default()
        });
        let serving: Vec<&str> =
            daemons.iter().filter(|daemon| seen.serves(daemon)).map(|daemon| daemon.name.as_str()).collect();
        assert_eq!(serving, ["master-1", "node-1"]);
        assert!(seen.is_elected(&daemons[0]) && !seen.is_elected(&daemons[1]));
        assert_eq!(seen.boot(&daemons[3]).as_deref(), Some("abababab-abab-abab-abab-abababababab"));
        assert_eq!(seen.boot(&daemons[8]), None);
    }
}
