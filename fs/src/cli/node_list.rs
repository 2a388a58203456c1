use std::time::{Duration, UNIX_EPOCH};

use cairn_proto::ids::NodeId;
use cairn_proto::wire::{Device, NodeState, NodeStatus};
use clap::Args;
use comfy_table::Cell;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::status::{by_name, locality, node_state, size};
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};

/// Shortest beginning of an id that is shown to people.
const SHORT_ID_LENGTH: usize = 8;

/// `cairn node list`: the nodes, and what lies on each.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Print one JSON array
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// One node as `node list --json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NodeLine {
    name: String,
    id: String,
    address: String,
    state: &'static str,
    intended: &'static str,
    used_bytes: u64,
    limit_bytes: u64,
    reserved_bytes: u64,
    /// What the three above are the sums of.
    devices: Vec<DeviceLine>,
    /// Chunks that count there.
    chunks: u64,
    chunk_bytes: u64,
    /// Chunks that the node itself counts.
    stored_chunks: u64,
    open_writes: u64,
    locality: String,
    /// How much of what was to be moved is; only while it is draining.
    drained_percent: Option<u64>,
    eta_s: Option<u64>,
    /// Milliseconds since 1970; only while it is in maintenance.
    maintenance_until_ms: Option<u64>,
}

/// One disk of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct DeviceLine {
    name: String,
    used_bytes: u64,
    limit_bytes: u64,
    reserved_bytes: u64,
}

impl From<&Device> for DeviceLine {
    fn from(device: &Device) -> Self {
        let Device { used_bytes, limit_bytes, reserved_bytes, .. } = *device;
        Self { name: device.name.clone(), used_bytes, limit_bytes, reserved_bytes }
    }
}

impl ListArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let nodes = self.cluster.with_client("node list", async |client| client.nodes().await).await?;
        let lines = by_name(nodes.into_iter().filter_map(NodeLine::of), |line| &line.name);
        console::answer(self.json, &lines, || text(&lines))
    }
}

impl NodeLine {
    fn of(status: NodeStatus) -> Option<Self> {
        let node = status.node?;
        let (state, intended) = (node.state(), node.intended_state());
        let is_draining = intended == NodeState::Draining;
        Some(Self {
            state: if status.drained { "drained" } else { node_state(state) },
            intended: node_state(intended),
            id: NodeId::from_wire(&node.id).map_or_else(|error| error.to_string(), |id| id.to_string()),
            used_bytes: node.devices.iter().map(|device| device.used_bytes).sum(),
            limit_bytes: node.devices.iter().map(|device| device.limit_bytes).sum(),
            reserved_bytes: node.devices.iter().map(|device| device.reserved_bytes).sum(),
            devices: node.devices.iter().map(DeviceLine::from).collect(),
            name: node.name,
            address: node.address,
            chunks: status.chunks,
            chunk_bytes: status.chunk_bytes,
            stored_chunks: status.stored_chunks,
            open_writes: status.open_writes,
            locality: locality(&node.locality),
            drained_percent: is_draining
                .then(|| if status.drained { 100 } else { percent(status.chunk_bytes, node.drained_from_bytes) }),
            eta_s: status.eta_s,
            maintenance_until_ms: node.maintenance.map(|maintenance| maintenance.until_ms),
        })
    }

    /// What people have to wait for.
    fn waits_for(&self) -> String {
        if let Some(percent) = self.drained_percent {
            if self.state == "drained" {
                return "to be removed".to_owned();
            }
            let left = self.eta_s.map(|seconds| format!(", {} left", time(seconds))).unwrap_or_default();
            let writes = if self.chunks == 0 { ", open writes" } else { "" };
            return format!("drained to {percent} %{left}{writes}");
        }
        self.maintenance_until_ms.map_or_else(String::new, |until_ms| {
            let until = UNIX_EPOCH + Duration::from_millis(until_ms);
            format!("maintenance until {}", humantime::format_rfc3339_seconds(until))
        })
    }
}

/// How much is moved already; never all of it while something may be left.
fn percent(left_bytes: u64, from_bytes: u64) -> u64 {
    let moved = u128::from(from_bytes.saturating_sub(left_bytes));
    u64::try_from((100 * moved).checked_div(u128::from(from_bytes)).unwrap_or(0)).unwrap_or(0).min(99)
}

fn time(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

fn text(lines: &[NodeLine]) -> String {
    let titles = ["NAME", "ID", "STATE", "ADDRESS", "USED", "LIMIT", "CHUNKS", "LOCALITY", "WAITS FOR"];
    let length = short_id_length(lines);
    let mut table = plain_table(&titles);
    for line in lines {
        let is_as_intended = line.state == line.intended || line.state == "drained";
        let state = if is_as_intended { line.state.to_owned() } else { format!("{} ({})", line.state, line.intended) };
        table.add_row([
            line.name.as_str().into(),
            line.id.get(..length).unwrap_or(&line.id).into(),
            state.into(),
            line.address.as_str().into(),
            number(size(line.used_bytes)),
            number(size(line.limit_bytes)),
            number(line.chunks),
            line.locality.as_str().into(),
            line.waits_for().into(),
        ]);
        // Of a single one the node's own line says all.
        for device in line.devices.iter().filter(|_| line.devices.len() > 1) {
            let mut row = vec![Cell::new(format!("  {}", device.name)), Cell::new(""), Cell::new(""), Cell::new("")];
            row.extend([number(size(device.used_bytes)), number(size(device.limit_bytes))]);
            table.add_row(row);
        }
    }
    table.trim_fmt()
}

/// So much of each id that no two look the same.
fn short_id_length(lines: &[NodeLine]) -> usize {
    let longest = lines.iter().map(|line| line.id.len()).max().unwrap_or(0);
    let are_distinct = |length: &usize| {
        let short: std::collections::HashSet<_> = lines.iter().map(|line| line.id.get(..*length)).collect();
        short.len() == lines.len()
    };
    (SHORT_ID_LENGTH..longest).find(are_distinct).unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use super::{NodeLine, percent, text};
    use cairn_proto::ids::NodeId;
    use cairn_proto::wire::{Device, Maintenance, NodeInfo, NodeState, NodeStatus};

    fn status(name: &str, state: NodeState) -> NodeStatus {
        let device = Device { name: "data".to_owned(), limit_bytes: 100, used_bytes: 7, reserved_bytes: 1 };
        let node = NodeInfo {
            id: NodeId::from_bytes([2; 16]).to_wire(),
            name: name.to_owned(),
            address: "a:1".to_owned(),
            devices: vec![device],
            state: state.into(),
            intended_state: state.into(),
            drained_from_bytes: 80,
            ..NodeInfo::default()
        };
        let (chunks, chunk_bytes) = (3, 20);
        NodeStatus {
            node: Some(node),
            chunks,
            chunk_bytes,
            stored_chunks: 4,
            open_writes: 5,
            drained: false,
            eta_s: None,
        }
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let line = NodeLine::of(status("node-1", NodeState::Draining)).unwrap();
        assert_eq!(
            serde_json::to_string(&line).unwrap(),
            concat!(
                r#"{"name":"node-1","id":"02020202-0202-0202-0202-020202020202","address":"a:1","state":"draining","#,
                r#""intended":"draining","used_bytes":7,"limit_bytes":100,"reserved_bytes":1,"#,
                r#""devices":[{"name":"data","used_bytes":7,"limit_bytes":100,"reserved_bytes":1}],"chunks":3,"chunk_bytes":20,"#,
                r#""stored_chunks":4,"open_writes":5,"locality":"","drained_percent":75,"eta_s":null,"#,
                r#""maintenance_until_ms":null}"#
            )
        );
    }

    #[test]
    fn people_see_what_a_node_waits_for() {
        let mut draining = status("node-1", NodeState::Draining);
        draining.eta_s = Some(90);
        let mut away = status("node-2", NodeState::Maintenance);
        away.node.as_mut().unwrap().maintenance = Some(Maintenance { until_ms: 0, ..Maintenance::default() });
        let drained = NodeStatus { drained: true, ..status("node-3", NodeState::Draining) };
        let lines = [draining, away, drained].map(|status| NodeLine::of(status).unwrap());
        let shown = text(&lines);
        for part in ["drained to 75 %, 1m 30s left", "maintenance until 1970-01-01T00:00:00Z", "to be removed"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        assert_eq!((lines[2].state, lines[2].drained_percent), ("drained", Some(100)));
    }

    #[test]
    fn people_see_the_devices_of_a_node_that_has_several() {
        let one = status("node-1", NodeState::Active);
        let mut several = status("node-2", NodeState::Active);
        let devices = &mut several.node.as_mut().unwrap().devices;
        devices.push(Device { name: "more".to_owned(), limit_bytes: 50, used_bytes: 3, reserved_bytes: 0 });
        let shown = text(&[one, several].map(|status| NodeLine::of(status).unwrap()));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 5, "{shown}");
        assert!(lines[2].contains("node-2") && lines[2].contains("150 B"), "{shown}");
        assert!(lines[3].contains("  data") && lines[4].contains("  more") && lines[4].contains("50 B"), "{shown}");
    }

    #[test]
    fn nothing_is_drained_before_it_is_said_to_be() {
        assert_eq!([percent(0, 50), percent(50, 50), percent(60, 50), percent(0, 0)], [99, 0, 0, 0]);
    }
}
