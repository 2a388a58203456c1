use std::collections::BTreeMap;

use bytesize::ByteSize;
use cairn_proto::ids::{ClusterId, NodeId};
use cairn_proto::wire::{DomainLevel, GetStatusResponse, Label, Layout, MasterStatus, NodeInfo, NodeState};
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::master_list::master_state;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};

/// `cairn status`: shows the cluster as the elected master sees it.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `status --json` prints.
#[derive(Debug, Serialize)]
struct ClusterStatus {
    cluster: String,
    layout: Option<String>,
    masters: Vec<MasterLine>,
    nodes: Vec<NodeLine>,
    /// Blobs by the number of chunks that may still be lost, all numbers of the default layout among
    /// them, and those that cannot be read.
    redundancy: BTreeMap<String, u64>,
    /// Keys of blobs that cannot be read; the first of them, where there are many.
    lost_keys: Vec<String>,
    /// Where there are several domains of a level, the blobs that could not be read without one of them.
    failure_domains: Vec<DomainLine>,
    pending_repairs: u64,
    keys: u64,
    stored_bytes: u64,
    free_bytes: u64,
    total_bytes: u64,
    sessions: u64,
    open_transactions: u64,
}

#[derive(Debug, Serialize)]
struct MasterLine {
    name: String,
    address: String,
    state: &'static str,
    elected: bool,
    raft_leader: bool,
}

#[derive(Debug, Serialize)]
struct DomainLine {
    level: String,
    domains: u64,
    endangered_blobs: u64,
}

#[derive(Debug, Serialize)]
struct NodeLine {
    name: String,
    id: String,
    address: String,
    state: &'static str,
    intended: &'static str,
    used_bytes: u64,
    limit_bytes: u64,
    locality: String,
}

impl StatusArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let status = self.cluster.with_client("status", async |client| client.status().await).await?;
        let status = ClusterStatus::from(status);
        console::answer(self.json, &status, || status.text())
    }
}

impl From<GetStatusResponse> for ClusterStatus {
    fn from(status: GetStatusResponse) -> Self {
        let most = status.default_layout.map_or(0, |layout| layout.code);
        let none = (0..=most).map(|spare| (spare.to_string(), 0));
        let counts = status.redundancy.iter().map(|count| (count.spare_chunks.to_string(), count.blobs));
        Self {
            cluster: ClusterId::from_wire(&status.cluster).map_or_else(|error| error.to_string(), |id| id.to_string()),
            layout: status.default_layout.map(layout_text),
            redundancy: none.chain(counts).chain([("lost".to_owned(), status.lost_blobs)]).collect(),
            masters: by_name(status.masters.into_iter().map(MasterLine::from), |master| &master.name),
            nodes: by_name(status.nodes.into_iter().map(NodeLine::from), |node| &node.name),
            lost_keys: status.lost_keys,
            failure_domains: status.domain_levels.into_iter().map(DomainLine::from).collect(),
            pending_repairs: status.pending_repairs,
            keys: status.keys,
            stored_bytes: status.stored_bytes,
            free_bytes: status.free_bytes,
            total_bytes: status.total_bytes,
            sessions: status.sessions,
            open_transactions: status.open_transactions,
        }
    }
}

impl From<DomainLevel> for DomainLine {
    fn from(level: DomainLevel) -> Self {
        Self { level: level.label, domains: level.domains, endangered_blobs: level.endangered_blobs }
    }
}

impl From<MasterStatus> for MasterLine {
    fn from(master: MasterStatus) -> Self {
        Self {
            state: master_state(master.state()),
            name: master.name,
            address: master.address,
            elected: master.elected,
            raft_leader: master.raft_leader,
        }
    }
}

impl From<NodeInfo> for NodeLine {
    fn from(node: NodeInfo) -> Self {
        Self {
            state: node_state(node.state()),
            intended: node_state(node.intended_state()),
            id: NodeId::from_wire(&node.id).map_or_else(|error| error.to_string(), |id| id.to_string()),
            name: node.name,
            address: node.address,
            used_bytes: node.devices.iter().map(|device| device.used_bytes).sum(),
            limit_bytes: node.devices.iter().map(|device| device.limit_bytes).sum(),
            locality: locality(&node.locality),
        }
    }
}

/// In the order of their names, `node-2` before `node-10`.
pub(super) fn by_name<T>(lines: impl Iterator<Item = T>, name: impl Fn(&T) -> &str) -> Vec<T> {
    let mut lines: Vec<T> = lines.collect();
    lines.sort_by(|one, other| numbered(name(one)).cmp(&numbered(name(other))));
    lines
}

/// A name, and the number at its end.
fn numbered(name: &str) -> (&str, Option<u64>) {
    let text = name.trim_end_matches(|last: char| last.is_ascii_digit());
    (text, name[text.len()..].parse().ok())
}

fn layout_text(layout: Layout) -> String {
    format!("{}+{}", layout.data, layout.code)
}

/// `region=a,rack=r3`, widest first.
pub(super) fn locality(labels: &[Label]) -> String {
    labels.iter().map(|label| format!("{}={}", label.key, label.value)).collect::<Vec<_>>().join(",")
}

pub(super) fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Unspecified => "unknown",
        NodeState::Active => "active",
        NodeState::Suspect => "suspect",
        NodeState::Dead => "dead",
        NodeState::ReadOnly => "read-only",
        NodeState::Maintenance => "maintenance",
        NodeState::Draining => "draining",
        NodeState::Removed => "removed",
    }
}

pub(super) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

impl ClusterStatus {
    fn text(&self) -> String {
        let layout = self.layout.as_deref().unwrap_or("unknown");
        let lines = [
            format!("Cluster {}   layout {layout}", self.cluster),
            format!("{} keys, {} stored, {} free", self.keys, size(self.stored_bytes), size(self.free_bytes)),
            String::new(),
            self.master_table(),
            String::new(),
            self.node_table(),
            String::new(),
            self.redundancy_line(),
        ];
        lines.into_iter().chain(self.domain_lines()).chain(self.lost_lines()).collect::<Vec<_>>().join("\n")
    }

    /// What the loss of a whole failure domain would cost.
    fn domain_lines(&self) -> impl Iterator<Item = String> {
        self.failure_domains.iter().map(|line| match line.endangered_blobs {
            0 => format!("Any one of {} {} domains may be lost", line.domains, line.level),
            blobs => format!("Losing one of {} {} domains would lose up to {blobs} blobs", line.domains, line.level),
        })
    }

    /// Blobs that cannot be read, by name.
    fn lost_lines(&self) -> impl Iterator<Item = String> {
        let lost = self.redundancy.get("lost").copied().unwrap_or_default();
        let unnamed = lost.saturating_sub(self.lost_keys.len() as u64);
        let names = self.lost_keys.iter().map(|key| format!("Lost   {key}"));
        names.chain((unnamed > 0).then(|| format!("... and {unnamed} more")))
    }

    fn master_table(&self) -> String {
        let mut table = plain_table(&["MASTER", "STATE", "ADDRESS", "ROLE"]);
        for master in &self.masters {
            let role = match (master.elected, master.raft_leader) {
                (true, true) => "elected",
                (true, false) => "elected, not Raft leader",
                (false, true) => "Raft leader, not elected",
                (false, false) => "",
            };
            table.add_row([master.name.as_str(), master.state, &master.address, role]);
        }
        table.trim_fmt()
    }

    fn node_table(&self) -> String {
        let mut table = plain_table(&["NODE", "STATE", "ADDRESS", "USED", "LIMIT", "LOCALITY"]);
        for node in &self.nodes {
            let state = if node.state == node.intended {
                node.state.to_owned()
            } else {
                format!("{} ({})", node.state, node.intended)
            };
            table.add_row([
                node.name.as_str().into(),
                state.into(),
                node.address.as_str().into(),
                number(size(node.used_bytes)),
                number(size(node.limit_bytes)),
                node.locality.as_str().into(),
            ]);
        }
        table.trim_fmt()
    }

    fn redundancy_line(&self) -> String {
        let counts = self.redundancy.iter().rev().map(|(spare, blobs)| match spare.as_str() {
            "lost" => format!("lost: {blobs}"),
            spare => format!("{spare} spare: {blobs}"),
        });
        format!(
            "Blobs by chunks to spare   {}   repairs pending: {}",
            counts.collect::<Vec<_>>().join("   "),
            self.pending_repairs
        )
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterStatus;
    use cairn_proto::wire::{
        Device, DomainLevel, GetStatusResponse, Label, Layout, MasterState, MasterStatus, NodeInfo, NodeState,
        RedundancyCount,
    };

    fn response() -> GetStatusResponse {
        let device = Device { limit_bytes: 100, used_bytes: 7, ..Device::default() };
        GetStatusResponse {
            cluster: vec![1; 16].into(),
            masters: vec![MasterStatus {
                id: 1,
                name: "master-1".to_owned(),
                address: "127.0.0.1:7001".to_owned(),
                state: MasterState::Active.into(),
                elected: true,
                raft_leader: true,
                applied_index: Some(9),
                ..MasterStatus::default()
            }],
            nodes: vec![NodeInfo {
                id: vec![2; 16].into(),
                name: "node-1".to_owned(),
                address: "127.0.0.1:7011".to_owned(),
                locality: vec![Label { key: "rack".to_owned(), value: "r1".to_owned() }],
                devices: vec![device.clone(), device],
                state: NodeState::Dead.into(),
                intended_state: NodeState::Active.into(),
                ..NodeInfo::default()
            }],
            redundancy: vec![
                RedundancyCount { spare_chunks: 2, blobs: 4 },
                RedundancyCount { spare_chunks: 1, blobs: 3 },
            ],
            lost_blobs: 1,
            lost_keys: vec!["a b".to_owned()],
            domain_levels: vec![DomainLevel { label: "dc".to_owned(), domains: 3, endangered_blobs: 2 }],
            keys: 8,
            default_layout: Some(Layout { data: 4, code: 2, cell_size_bytes: 65_536, stripe_size_bytes: 1 << 26 }),
            pending_repairs: 3,
            ..GetStatusResponse::default()
        }
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        assert_eq!(
            serde_json::to_string(&ClusterStatus::from(response())).unwrap(),
            concat!(
                r#"{"cluster":"01010101-0101-0101-0101-010101010101","layout":"4+2","#,
                r#""masters":[{"name":"master-1","address":"127.0.0.1:7001","state":"active","elected":true,"raft_leader":true}],"#,
                r#""nodes":[{"name":"node-1","id":"02020202-0202-0202-0202-020202020202","address":"127.0.0.1:7011","#,
                r#""state":"dead","intended":"active","used_bytes":14,"limit_bytes":200,"locality":"rack=r1"}],"#,
                r#""redundancy":{"0":0,"1":3,"2":4,"lost":1},"lost_keys":["a b"],"#,
                r#""failure_domains":[{"level":"dc","domains":3,"endangered_blobs":2}],"pending_repairs":3,"keys":8,"stored_bytes":0,"free_bytes":0,"#,
                r#""total_bytes":0,"sessions":0,"open_transactions":0}"#
            )
        );
    }

    #[test]
    fn nodes_are_shown_in_the_order_of_their_names() {
        let named = |name: &str| NodeInfo { name: name.to_owned(), ..NodeInfo::default() };
        let nodes = ["node-10", "node-2", "annex", "node-1"].map(named).to_vec();
        let status = ClusterStatus::from(GetStatusResponse { nodes, ..GetStatusResponse::default() });
        let shown: Vec<&str> = status.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(shown, ["annex", "node-1", "node-2", "node-10"]);
    }

    #[test]
    fn people_see_what_differs_from_what_is_wanted() {
        let text = ClusterStatus::from(response()).text();
        assert!(
            text.contains("Losing one of 3 dc domains would lose up to 2 blobs") && text.contains("Lost   a b"),
            "{text}"
        );
        assert!(
            text.contains("dead (active)") && text.contains("lost: 1   2 spare: 4   1 spare: 3   0 spare: 0"),
            "{text}"
        );
    }
}
