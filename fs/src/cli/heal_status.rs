use bytesize::ByteSize;
use cairn_proto::ids::SegmentId;
use cairn_proto::wire::{GetHealStatusResponse, HealItem};
use clap::Args;
use comfy_table::Cell;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};

/// `cairn heal status`: what waits to be rebuilt.
#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// `heal status --json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct HealStatus {
    /// Segments that miss a chunk.
    pending: u64,
    pending_bytes: u64,
    rate_bytes_per_s: u64,
    /// Absent while nothing is being rebuilt.
    eta_s: Option<u64>,
    rebuilt_chunks: u64,
    rebuilt_bytes: u64,
    read_bytes: u64,
    /// Segments that miss nothing and have a chunk on a node that is to be emptied.
    moving: u64,
    moving_bytes: u64,
    moved_chunks: u64,
    items: Vec<Item>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Item {
    segment: String,
    chunk: u32,
    node: String,
    cells: u64,
    total_cells: u64,
    spare_chunks: i64,
    /// `missing`, `corrupt` where it is, or `moved` from a node that is to be emptied.
    reason: &'static str,
}

impl StatusArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let answer = self.cluster.with_client("heal status", async |client| client.heal_status().await).await?;
        let status = HealStatus::from(answer);
        console::answer(self.json, &status, || status.text())
    }
}

/// Not known while nothing is being rebuilt: what waits for nodes does not end by waiting.
fn eta_s(answer: &GetHealStatusResponse) -> Option<u64> {
    let left_bytes = answer.pending_bytes + answer.moving_bytes;
    left_bytes.checked_div(answer.rate_bytes_per_s).filter(|_| !answer.items.is_empty())
}

impl From<GetHealStatusResponse> for HealStatus {
    fn from(answer: GetHealStatusResponse) -> Self {
        Self {
            pending: answer.pending,
            pending_bytes: answer.pending_bytes,
            rate_bytes_per_s: answer.rate_bytes_per_s,
            eta_s: eta_s(&answer),
            rebuilt_chunks: answer.rebuilt_chunks,
            rebuilt_bytes: answer.rebuilt_bytes,
            read_bytes: answer.read_bytes,
            moving: answer.moving,
            moving_bytes: answer.moving_bytes,
            moved_chunks: answer.moved_chunks,
            items: answer.items.into_iter().map(Item::from).collect(),
        }
    }
}

impl From<HealItem> for Item {
    fn from(item: HealItem) -> Self {
        Self {
            segment: SegmentId::from_wire(&item.segment).map_or_else(|error| error.to_string(), |id| id.to_string()),
            chunk: item.chunk_index,
            node: item.node,
            cells: item.cells,
            total_cells: item.total_cells,
            spare_chunks: item.spare_chunks,
            reason: match (item.corrupt, item.moved) {
                (true, _) => "corrupt",
                (false, true) => "moved",
                (false, false) => "missing",
            },
        }
    }
}

impl HealStatus {
    fn text(&self) -> String {
        let eta = self.eta_s.map_or_else(
            || "not known".to_owned(),
            |seconds| humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string(),
        );
        let mut lines = vec![if self.pending == 0 {
            "Nothing is missing".to_owned()
        } else {
            let (missing, rate) = (ByteSize::b(self.pending_bytes), ByteSize::b(self.rate_bytes_per_s));
            format!("Missing   {} segments, {missing}   rebuilt at {rate}/s   time left {eta}", self.pending)
        }];
        let (bytes, read) = (ByteSize::b(self.rebuilt_bytes), ByteSize::b(self.read_bytes));
        lines.push(format!("Rebuilt   {} chunks, {bytes}, for {read} read", self.rebuilt_chunks));
        if self.moving > 0 || self.moved_chunks > 0 {
            let left = ByteSize::b(self.moving_bytes);
            lines.push(format!("Moving    {} segments, {left}   moved {} chunks", self.moving, self.moved_chunks));
        }
        if !self.items.is_empty() {
            lines.push(String::new());
            lines.push(self.table());
        }
        lines.join("\n")
    }

    fn table(&self) -> String {
        let mut rows = plain_table(&["SEGMENT", "CHUNK", "ON", "CELLS", "OF", "SPARE", "REASON"]);
        for item in &self.items {
            let mut row = vec![Cell::new(&item.segment), number(item.chunk), Cell::new(&item.node)];
            row.extend([number(item.cells), number(item.total_cells), number(item.spare_chunks)]);
            row.push(Cell::new(item.reason));
            rows.add_row(row);
        }
        rows.to_string()
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SegmentId;
    use cairn_proto::wire::{GetHealStatusResponse, HealItem};

    use super::HealStatus;

    fn status() -> HealStatus {
        HealStatus::from(GetHealStatusResponse {
            pending: 3,
            pending_bytes: 300 << 20,
            rate_bytes_per_s: 100 << 20,
            rebuilt_chunks: 7,
            rebuilt_bytes: 70,
            read_bytes: 280,
            moving: 2,
            moving_bytes: 0,
            moved_chunks: 4,
            items: vec![HealItem {
                segment: SegmentId::from_bytes([1; 16]).to_wire(),
                chunk_index: 2,
                node: "node-7".to_owned(),
                cells: 10,
                total_cells: 40,
                spare_chunks: 1,
                moved: false,
                corrupt: true,
            }],
        })
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let expected = concat!(
            r#"{"pending":3,"pending_bytes":314572800,"rate_bytes_per_s":104857600,"eta_s":3,"#,
            r#""rebuilt_chunks":7,"rebuilt_bytes":70,"read_bytes":280,"moving":2,"moving_bytes":0,"moved_chunks":4,"items":["#,
            r#"{"segment":"01010101-0101-0101-0101-010101010101","chunk":2,"node":"node-7","cells":10,"total_cells":40,"#,
            r#""spare_chunks":1,"reason":"corrupt"}]}"#
        );
        assert_eq!(serde_json::to_string(&status()).unwrap(), expected);
    }

    #[test]
    fn people_see_how_long_it_takes() {
        let shown = status().text();
        for part in ["3 segments", "300.0 MiB", "100.0 MiB/s", "time left 3s", "node-7", "moved 4 chunks", "corrupt"] {
            assert!(shown.contains(part), "{part} is not in {shown}");
        }
        let waiting = GetHealStatusResponse {
            pending: 7,
            pending_bytes: 1 << 30,
            rate_bytes_per_s: 1,
            ..GetHealStatusResponse::default()
        };
        assert!(HealStatus::from(waiting).text().contains("time left not known"));
        let idle = HealStatus::from(GetHealStatusResponse::default()).text();
        assert!(idle.starts_with("Nothing is missing"), "{idle}");
    }
}
