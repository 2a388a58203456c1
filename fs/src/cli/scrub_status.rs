use bytesize::ByteSize;
use cairn_proto::ids::NodeId;
use cairn_proto::wire::{GetScrubStatusResponse, NodeScrub};
use clap::Args;
use comfy_table::Cell;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::status::by_name;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};

/// `cairn scrub status`: how nodes verify what they keep.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// `scrub status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct ScrubStatus {
    nodes: Vec<NodeLine>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct NodeLine {
    name: String,
    id: String,
    /// `ordered`, `scheduled`, `waiting` between passes, or `unknown` of a node that was not heard yet.
    state: &'static str,
    verified_chunks: u64,
    verified_bytes: u64,
    rate_bytes_per_s: u64,
    full_passes: u64,
    /// Absent before the first full pass of the node's process.
    since_full_pass_s: Option<u64>,
    found_chunks: u64,
    repaired_chunks: u64,
    unrepaired_chunks: u64,
    /// Empty when nothing is wrong with the node's own records.
    damaged_records: String,
}

impl StatusArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let answer = self.cluster.with_client("scrub status", async |client| client.scrub_status().await).await?;
        let status = ScrubStatus::from(answer);
        console::answer(self.json, &status, || status.text())
    }
}

impl From<GetScrubStatusResponse> for ScrubStatus {
    fn from(answer: GetScrubStatusResponse) -> Self {
        Self { nodes: by_name(answer.nodes.into_iter().map(NodeLine::from), |node| &node.name) }
    }
}

impl From<NodeScrub> for NodeLine {
    fn from(node: NodeScrub) -> Self {
        let state = match &node.status {
            None => "unknown",
            Some(status) if status.ordered => "ordered",
            Some(status) if status.running => "scheduled",
            Some(_) => "waiting",
        };
        let status = node.status.unwrap_or_default();
        Self {
            name: node.name,
            id: NodeId::from_wire(&node.node).map_or_else(|error| error.to_string(), |id| id.to_string()),
            state,
            verified_chunks: status.verified_chunks,
            verified_bytes: status.verified_bytes,
            rate_bytes_per_s: status.rate_bytes_per_s,
            full_passes: status.full_passes,
            since_full_pass_s: status.since_full_pass_s,
            found_chunks: status.found_chunks,
            repaired_chunks: status.repaired_chunks,
            unrepaired_chunks: status.unrepaired_chunks,
            damaged_records: status.damaged_records,
        }
    }
}

impl ScrubStatus {
    fn text(&self) -> String {
        let titles = ["NODE", "PASS", "VERIFIED", "BYTES", "RATE", "LAST FULL PASS", "FOUND", "REPAIRED", "LEFT"];
        let mut rows = plain_table(&titles);
        for node in &self.nodes {
            let mut row = vec![Cell::new(&node.name), Cell::new(node.state), number(node.verified_chunks)];
            row.extend([number(ByteSize::b(node.verified_bytes)), number(node.rate())]);
            row.push(Cell::new(node.last_full_pass()));
            row.extend([node.found_chunks, node.repaired_chunks, node.unrepaired_chunks].map(number));
            rows.add_row(row);
        }
        let mut lines = vec![rows.to_string()];
        let damaged = self.nodes.iter().filter(|node| !node.damaged_records.is_empty());
        lines.extend(damaged.map(|node| format!("{}: {}", node.name, node.damaged_records)));
        lines.join("\n")
    }
}

impl NodeLine {
    fn rate(&self) -> String {
        format!("{}/s", ByteSize::b(self.rate_bytes_per_s))
    }

    fn last_full_pass(&self) -> String {
        let ago = |seconds| format!("{} ago", humantime::format_duration(std::time::Duration::from_secs(seconds)));
        self.since_full_pass_s.map_or_else(|| "none yet".to_owned(), ago)
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::NodeId;
    use cairn_proto::wire::{self, GetScrubStatusResponse, NodeScrub};

    use super::ScrubStatus;

    fn status() -> ScrubStatus {
        let node = |number: u8, status| NodeScrub {
            node: NodeId::from_bytes([number; 16]).to_wire(),
            name: format!("node-{number}"),
            status,
            ..NodeScrub::default()
        };
        let found = wire::ScrubStatus {
            running: true,
            verified_chunks: 7,
            verified_bytes: 70 << 20,
            rate_bytes_per_s: 10 << 20,
            full_passes: 2,
            since_full_pass_s: Some(120),
            found_chunks: 3,
            repaired_chunks: 2,
            unrepaired_chunks: 1,
            damaged_records: "its records are damaged".to_owned(),
            ..wire::ScrubStatus::default()
        };
        ScrubStatus::from(GetScrubStatusResponse { nodes: vec![node(1, Some(found)), node(2, None)] })
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let text = serde_json::to_string(&status()).unwrap();
        let first = concat!(
            r#"{"nodes":[{"name":"node-1","id":"01010101-0101-0101-0101-010101010101","state":"scheduled","#,
            r#""verified_chunks":7,"verified_bytes":73400320,"rate_bytes_per_s":10485760,"full_passes":2,"#,
            r#""since_full_pass_s":120,"found_chunks":3,"repaired_chunks":2,"unrepaired_chunks":1,"#,
            r#""damaged_records":"its records are damaged"}"#
        );
        assert!(text.starts_with(first), "{text}");
        assert!(text.contains(r#""state":"unknown""#) && text.contains(r#""since_full_pass_s":null"#), "{text}");
    }

    #[test]
    fn people_see_what_is_left() {
        let shown = status().text();
        for part in ["node-1", "scheduled", "70.0 MiB", "10.0 MiB/s", "2m ago", "none yet", "node-1: its records"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
    }
}
