use cairn_codec::Digest;
use cairn_proto::records::{Chunk, Key, Segment};
use cairn_proto::wire::NodeState;
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::get::find;
use super::ls::mtime;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};
use crate::client::FoundBlob;

/// `cairn stat`: shows what a key points at and where its chunks lie.
#[derive(Debug, Args)]
pub(crate) struct StatArguments {
    /// Key to look at
    key: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `stat --json` prints.
#[derive(Debug, Serialize)]
struct BlobStatus {
    key: String,
    uuid: String,
    size: u64,
    digest: String,
    layout: Option<String>,
    cell_size: Option<usize>,
    stripe_size: Option<u64>,
    mode: String,
    mtime: String,
    serial: u64,
    writer_killed_by_signal: Option<u32>,
    /// Chunks that may still be lost before it cannot be read; below 0 it is lost now.
    spare: Option<i64>,
    extents: Vec<ExtentStatus>,
    chunks: Vec<ChunkStatus>,
}

#[derive(Debug, Serialize)]
struct ExtentStatus {
    segment: String,
    first_row: u64,
    rows: u64,
    size: u64,
}

#[derive(Debug, Serialize)]
struct ChunkStatus {
    segment: String,
    index: usize,
    kind: &'static str,
    node: Option<String>,
    address: Option<String>,
    state: ChunkState,
    size: u64,
}

/// What is to be said of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum ChunkState {
    /// Its node serves it.
    Ok,
    /// The blob is so small that nothing of it belongs here.
    Empty,
    /// Its node has missed heartbeats.
    Suspect,
    /// Its node does not answer.
    Down,
    /// Its node is gone, or came back without its data.
    Lost,
    /// It was never stored; repair is to make it.
    Missing,
}

impl ChunkState {
    /// Of a chunk whose node, if it has one, is in that state with the data of that time, or is gone.
    fn of(chunk: &Chunk, node: Option<NodeState>) -> Self {
        match (chunk.place, node) {
            _ if chunk.cells == 0 => Self::Empty,
            (None, _) => Self::Missing,
            (Some(_), None | Some(NodeState::Removed | NodeState::Unspecified)) => Self::Lost,
            (Some(_), Some(NodeState::Dead | NodeState::Maintenance)) => Self::Down,
            (Some(_), Some(NodeState::Suspect)) => Self::Suspect,
            (Some(_), Some(NodeState::Active | NodeState::ReadOnly | NodeState::Draining)) => Self::Ok,
        }
    }

    fn can_be_read(self) -> bool {
        match self {
            Self::Ok | Self::Empty | Self::Suspect => true,
            Self::Down | Self::Lost | Self::Missing => false,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Empty => "empty",
            Self::Suspect => "suspect",
            Self::Down => "down",
            Self::Lost => "lost",
            Self::Missing => "missing",
        }
    }
}

impl StatArguments {
    pub(crate) fn subject(&self) -> String {
        format!("stat {}", self.key)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let key = Key::try_from(self.key.as_str())?;
        let client = self.cluster.connect("stat").await?;
        let found = find(&client, &key).await;
        let status = found.map(|blob| BlobStatus::of(&key, &blob));
        client.close().await;
        if self.json {
            console::json(&status?)?;
        } else {
            console::line(status?.text())?;
        }
        Ok(ExitStatus::Done)
    }
}

impl BlobStatus {
    fn of(key: &Key, found: &FoundBlob) -> Self {
        let (blob, attributes) = (found.blob(), found.entry().attributes);
        let layout = found.layout();
        let chunks: Vec<Vec<ChunkStatus>> = found.segments().iter().map(|segment| chunks_of(found, segment)).collect();
        Self {
            key: key.to_string(),
            uuid: blob.id.to_string(),
            size: blob.size_bytes,
            digest: Digest::from_bytes(blob.digest).to_string(),
            layout: layout.map(|layout| format!("{}+{}", layout.data(), layout.code())),
            cell_size: layout.map(cairn_codec::Layout::cell_size_bytes),
            stripe_size: layout.map(cairn_codec::Layout::stripe_size_bytes),
            mode: format!("{:04o}", attributes.mode),
            mtime: mtime(&attributes),
            serial: blob.serial,
            writer_killed_by_signal: Some(blob.writer_killed_by_signal).filter(|signal| *signal > 0),
            spare: layout.and_then(|layout| spare(&chunks, layout.data())),
            extents: blob
                .extents
                .iter()
                .map(|extent| ExtentStatus {
                    segment: extent.segment.to_string(),
                    first_row: extent.first_row,
                    rows: extent.rows,
                    size: extent.length_bytes,
                })
                .collect(),
            chunks: chunks.into_iter().flatten().collect(),
        }
    }

    fn text(&self) -> String {
        let layout = match (&self.layout, self.cell_size) {
            (Some(layout), Some(cell_size)) => format!("{layout}, cells of {cell_size} bytes"),
            _ => "none, it is empty".to_owned(),
        };
        let mut lines = vec![
            format!("Key      {}", self.key),
            format!("UUID     {} (serial {})", self.uuid, self.serial),
            format!("Size     {}", self.size),
            format!("Mode     {}   Modified {}", self.mode, self.mtime),
            format!("Digest   {}", self.digest),
            format!("Layout   {layout}"),
            format!("Extents  {}", self.extents.len()),
        ];
        lines.extend(self.spare.map(spare_line));
        lines.extend(self.writer_killed_by_signal.map(|signal| format!("Writer   was killed by signal {signal}")));
        if !self.chunks.is_empty() {
            lines.push(self.chunk_table());
        }
        lines.join("\n")
    }

    fn chunk_table(&self) -> String {
        let mut table = plain_table(&["CHUNK", "KIND", "NODE", "ADDRESS", "STATE", "BYTES"]);
        for chunk in &self.chunks {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned()).into();
            table.add_row([
                number(chunk.index),
                chunk.kind.into(),
                text(&chunk.node),
                text(&chunk.address),
                chunk.state.name().into(),
                number(chunk.size),
            ]);
        }
        table.trim_fmt()
    }
}

fn spare_line(spare: i64) -> String {
    match spare {
        0.. => format!("Spare    {spare} more chunks may be lost"),
        _ => format!("Spare    none: {} chunks too few to read it", -spare),
    }
}

fn chunks_of(found: &FoundBlob, segment: &Segment) -> Vec<ChunkStatus> {
    let data = usize::try_from(segment.layout.data).unwrap_or(usize::MAX);
    let status = |(index, chunk): (usize, &Chunk)| {
        let node = chunk.place.and_then(|place| found.node(place.node).map(|node| (place, node)));
        let state = node.filter(|(place, node)| node.incarnation == place.incarnation).map(|(_, node)| node.state);
        ChunkStatus {
            segment: segment.id.to_string(),
            index,
            kind: if index < data { "data" } else { "code" },
            node: node.map(|(_, node)| node.name.clone()),
            address: node.map(|(_, node)| node.address.clone()),
            state: ChunkState::of(chunk, state),
            size: chunk.length_bytes,
        }
    };
    segment.chunks.iter().enumerate().map(status).collect()
}

/// Of the segment that is worst off: how many of its chunks may still go.
fn spare(segments: &[Vec<ChunkStatus>], data: usize) -> Option<i64> {
    let count = |chunks: usize| i64::try_from(chunks).unwrap_or(i64::MAX);
    let readable = |chunks: &Vec<ChunkStatus>| chunks.iter().filter(|chunk| chunk.state.can_be_read()).count();
    segments.iter().map(|chunks| count(readable(chunks)) - count(data)).min()
}

#[cfg(test)]
mod tests {
    use super::{BlobStatus, ChunkState, ChunkStatus, ExtentStatus, spare};
    use cairn_proto::ids::{IncarnationId, NodeId};
    use cairn_proto::records::{Chunk, ChunkPlace};
    use cairn_proto::wire::NodeState;

    fn chunk(index: usize, state: ChunkState) -> ChunkStatus {
        ChunkStatus {
            segment: "s".to_owned(),
            index,
            kind: if index < 4 { "data" } else { "code" },
            node: Some(format!("node-{index}")),
            address: None,
            state,
            size: 10,
        }
    }

    fn chunks(states: [ChunkState; 6]) -> Vec<ChunkStatus> {
        states.into_iter().enumerate().map(|(index, state)| chunk(index, state)).collect()
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let status = BlobStatus {
            key: "k".to_owned(),
            uuid: "u".to_owned(),
            size: 9,
            digest: "d".to_owned(),
            layout: Some("4+2".to_owned()),
            cell_size: Some(65_536),
            stripe_size: Some(1 << 26),
            mode: "0644".to_owned(),
            mtime: "t".to_owned(),
            serial: 3,
            writer_killed_by_signal: None,
            spare: Some(2),
            extents: vec![ExtentStatus { segment: "s".to_owned(), first_row: 0, rows: 1, size: 9 }],
            chunks: vec![chunk(5, ChunkState::Down)],
        };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            concat!(
                r#"{"key":"k","uuid":"u","size":9,"digest":"d","layout":"4+2","cell_size":65536,"#,
                r#""stripe_size":67108864,"mode":"0644","mtime":"t","serial":3,"writer_killed_by_signal":null,"#,
                r#""spare":2,"extents":[{"segment":"s","first_row":0,"rows":1,"size":9}],"#,
                r#""chunks":[{"segment":"s","index":5,"kind":"code","node":"node-5","address":null,"#,
                r#""state":"down","size":10}]}"#
            )
        );
        let text = status.text();
        assert!(text.contains("Spare    2 more chunks may be lost") && text.contains("node-5"), "{text}");
    }

    #[test]
    fn a_chunk_is_what_its_place_and_node_make_it() {
        let place = ChunkPlace { node: NodeId::generate(), incarnation: IncarnationId::generate() };
        let stored = Chunk { place: Some(place), cells: 1, length_bytes: 1, digest: [1; 32] };
        let hole = Chunk { place: None, ..stored.clone() };
        let empty = Chunk { cells: 0, ..hole.clone() };
        assert_eq!(ChunkState::of(&stored, Some(NodeState::Active)), ChunkState::Ok);
        assert_eq!(ChunkState::of(&stored, Some(NodeState::Suspect)), ChunkState::Suspect);
        assert_eq!(ChunkState::of(&stored, Some(NodeState::Dead)), ChunkState::Down);
        assert_eq!(ChunkState::of(&stored, None), ChunkState::Lost);
        assert_eq!(ChunkState::of(&hole, None), ChunkState::Missing);
        assert_eq!(ChunkState::of(&empty, None), ChunkState::Empty);
    }

    #[test]
    fn the_worst_segment_decides_what_is_spare() {
        use ChunkState::{Down, Empty, Lost, Missing, Ok};
        let whole = chunks([Ok, Empty, Empty, Empty, Ok, Ok]);
        let hurt = chunks([Ok, Down, Lost, Ok, Missing, Ok]);
        assert_eq!(spare(std::slice::from_ref(&whole), 4), Some(2));
        assert_eq!(spare(&[whole, hurt], 4), Some(-1));
        assert_eq!(spare(&[], 4), None);
    }
}
