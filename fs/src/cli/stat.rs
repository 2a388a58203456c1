mod chunk_status;

use cairn_codec::Digest;
use cairn_proto::records::{Extent, Key, Segment};
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::get::find;
use super::ls::mtime;
use super::table::{number, plain_table};
use super::{ExitStatus, Failure, console};
use crate::client::{Client, FoundBlob};
use chunk_status::{ChunkStatus, chunks_of, spare};

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
    kept_by: Keeper,
}

/// Who has the bytes of an extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Keeper {
    /// The storage nodes, in chunks.
    Nodes,
    /// The masters, with the record of the segment.
    Masters,
}

impl StatArguments {
    pub(crate) fn subject(&self) -> String {
        format!("stat {}", self.key)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let key = Key::try_from(self.key.as_str())?;
        let look = async |client: &Client| find(client, &key).await.map(|blob| BlobStatus::of(&key, &blob));
        let status = self.cluster.with_client("stat", look).await?;
        console::answer(self.json, &status, || status.text())
    }
}

impl BlobStatus {
    fn of(key: &Key, found: &FoundBlob) -> Self {
        let (blob, attributes) = (found.blob(), found.entry().attributes);
        let layout = found.layout();
        let on_nodes = found.segments().iter().filter(|segment| segment.contents.is_none());
        let chunks: Vec<Vec<ChunkStatus>> = on_nodes.map(|segment| chunks_of(found, segment)).collect();
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
                    kept_by: keeper(found, extent),
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
        let kept = self.extents.iter().filter(|extent| extent.kept_by == Keeper::Masters).count();
        if kept > 0 {
            lines.push(format!(
                "Kept     {} by the masters, on no node",
                if kept == self.extents.len() { "whole" } else { "in part" }
            ));
        }
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

fn keeper(found: &FoundBlob, extent: &Extent) -> Keeper {
    let by_masters = |segment: &Segment| segment.id == extent.segment && segment.contents.is_some();
    if found.segments().iter().any(by_masters) { Keeper::Masters } else { Keeper::Nodes }
}

fn spare_line(spare: i64) -> String {
    match spare {
        0.. => format!("Spare    {spare} more chunks may be lost"),
        _ => format!("Spare    none: {} chunks too few to read it", -spare),
    }
}

#[cfg(test)]
mod tests {
    use super::chunk_status::ChunkStatus;
    use super::{BlobStatus, ExtentStatus, Keeper};
    use crate::client::ChunkState;

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
            extents: vec![ExtentStatus {
                segment: "s".to_owned(),
                first_row: 0,
                rows: 1,
                size: 9,
                kept_by: Keeper::Nodes,
            }],
            chunks: vec![ChunkStatus {
                segment: "s".to_owned(),
                index: 5,
                kind: "code",
                node: Some("node-5".to_owned()),
                address: None,
                state: ChunkState::Down,
                size: 10,
            }],
        };
        assert_eq!(
            serde_json::to_string(&status).unwrap(),
            concat!(
                r#"{"key":"k","uuid":"u","size":9,"digest":"d","layout":"4+2","cell_size":65536,"#,
                r#""stripe_size":67108864,"mode":"0644","mtime":"t","serial":3,"writer_killed_by_signal":null,"#,
                r#""spare":2,"extents":[{"segment":"s","first_row":0,"rows":1,"size":9,"kept_by":"nodes"}],"#,
                r#""chunks":[{"segment":"s","index":5,"kind":"code","node":"node-5","address":null,"#,
                r#""state":"down","size":10}]}"#
            )
        );
        let text = status.text();
        assert!(text.contains("Spare    2 more chunks may be lost") && text.contains("node-5"), "{text}");
    }
}
