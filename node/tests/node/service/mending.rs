//! Damaged cells made again where their chunk is, from other nodes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cairn_codec::Layout;
use cairn_node::DeviceConfig;
use cairn_node::store::Position;
use cairn_proto::wire;

use super::cluster::{TestNode, config, expected, is};
use super::rebuilding::Cluster;
use crate::fixtures::at;

/// Rows of 64 KiB cells: the first 128 of a chunk are logged, the others lie in tables.
const ROWS: u64 = 160;

fn layout() -> Layout {
    Layout::new(2, 2, 64 << 10, 1 << 20).unwrap()
}

async fn cluster() -> Cluster {
    Cluster::start_with(layout(), ROWS).await
}

fn position(row: u64) -> Position {
    let position = layout().position(row);
    at(position.stripe, position.row)
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("db")).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|ending| ending == "sst")).collect()
}

fn flip(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

impl Cluster {
    /// Starts a node again, which puts what it logged into tables; a bit of the cell in each of these rows flips then.
    async fn damage(&mut self, node: usize, rows: &[u64]) {
        let dir = self.dirs[node].path().to_owned();
        for _ in 0..2 {
            let stopped = self.nodes.remove(node);
            stopped.stop().await.unwrap();
            self.nodes.insert(node, TestNode::start_with(&dir, &self.master).await);
        }
        for row in rows {
            let payload = self.chunks[node].cells[&position(*row)].payload();
            let found = tables(&dir).into_iter().find_map(|table| {
                let bytes = fs::read(&table).unwrap();
                let start = bytes.windows(64).position(|window| window == &payload[..64])?;
                Some((table, start as u64))
            });
            let (table, start) = found.expect("a table holds the cell");
            flip(&table, start + 50);
        }
    }

    /// Starts a node again with a new device in front of the directory that it had.
    async fn divide(&mut self, node: usize) {
        let dir = self.dirs[node].path().to_owned();
        self.nodes.remove(node).stop().await.unwrap();
        let device = |name: &str, dir: PathBuf| DeviceConfig { name: name.to_owned(), dir, limit: None };
        let mut config = config(&dir, &[self.master.address.to_string()]);
        config.memory = "96MiB".parse().unwrap();
        config.devices = vec![device("added", dir.join("added")), device("data", dir)];
        self.nodes.insert(node, TestNode::start_as(config, &self.master).await);
    }

    /// The rows that a node cannot give.
    async fn unreadable(&mut self, node: usize) -> BTreeSet<u64> {
        let mut unreadable = BTreeSet::new();
        for row in 0..ROWS {
            let (chunk, place) = (&self.chunks[node], position(row));
            let read = self.nodes[node].read_cell(chunk, place).await;
            match read {
                Ok(cell) => assert!(cell == *chunk.cells[&place].bytes(), "row {row} has other bytes"),
                Err(status) => {
                    assert!(is(&status, "CELL_CORRUPT"), "{status}");
                    unreadable.insert(row);
                }
            }
        }
        unreadable
    }

    async fn mend(&mut self, node: usize) -> Result<wire::Chunk, tonic::Status> {
        let order = Some(self.nodes[node].order());
        let request = wire::RebuildChunkRequest { order, in_place: true, ..self.request(node) };
        self.ordered(node, request).await
    }

    /// Has everything verified, and waits for the end of that.
    async fn scrub(&mut self, node: usize) -> wire::ScrubStatus {
        let before = self.status(node).await.full_passes;
        let request = wire::StartScrubRequest { order: Some(self.nodes[node].order()), bytes_per_second: 0 };
        self.nodes[node].control.start_scrub(request).await.unwrap();
        loop {
            let status = self.status(node).await;
            if status.full_passes > before && !status.ordered {
                return status;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    async fn status(&mut self, node: usize) -> wire::ScrubStatus {
        self.nodes[node].stats().await.unwrap().scrub.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_cells_are_found_made_again_from_the_others_and_not_found_again() {
    let mut cluster = cluster().await;
    let rows = [0, 77, 127, 130, 159];
    cluster.damage(1, &rows).await;
    let status = cluster.scrub(1).await;
    assert_eq!((status.found_chunks, status.unrepaired_chunks, status.repaired_chunks), (1, 1, 0));
    let damaged = cluster.nodes[1].stats().await.unwrap().damaged;
    assert_eq!(damaged.iter().map(|chunk| chunk.chunk_index).collect::<Vec<_>>(), [1]);
    assert_eq!(cluster.unreadable(1).await, rows.into());
    let (node, wanted) = (cluster.nodes[1].info.clone(), expected(&cluster.chunks[1]));
    let mended = cluster.mend(1).await.unwrap();
    assert_eq!(mended, wire::Chunk { node: node.id, incarnation: node.incarnation, ..wanted });
    assert!(cluster.unreadable(1).await.is_empty());
    let status = cluster.scrub(1).await;
    assert_eq!((status.found_chunks, status.unrepaired_chunks, status.repaired_chunks), (1, 0, 1));
    assert!(status.damaged_records.is_empty());
    assert!(cluster.nodes[1].stats().await.unwrap().damaged.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_that_can_be_decoded_is_put_right_though_each_chunk_is_damaged() {
    let mut cluster = cluster().await;
    for node in 0..4 {
        let row = 20 * node as u64;
        cluster.damage(node, &[row, row + 1, 140 + node as u64]).await;
    }
    for node in 0..4 {
        cluster.mend(node).await.unwrap();
        assert!(cluster.unreadable(node).await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_on_one_of_several_devices_is_put_right_there() {
    let mut cluster = cluster().await;
    cluster.damage(1, &[3, 150]).await;
    cluster.divide(1).await;
    let status = cluster.scrub(1).await;
    assert_eq!((status.found_chunks, status.unrepaired_chunks), (1, 1));
    assert_eq!(cluster.unreadable(1).await, [3, 150].into());
    cluster.mend(1).await.unwrap();
    assert!(cluster.unreadable(1).await.is_empty());
    assert_eq!(cluster.status(1).await.repaired_chunks, 1);
    let devices = cluster.nodes[1].stats().await.unwrap().node.unwrap().devices;
    assert_eq!(devices.iter().map(|device| device.name.as_str()).collect::<Vec<_>>(), ["added", "data"]);
    assert!(devices[1].used_bytes > devices[0].used_bytes + ROWS * (64 << 10), "{devices:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_is_met_by_a_reader_is_reported_too() {
    let mut cluster = cluster().await;
    cluster.damage(2, &[150]).await;
    assert_eq!(cluster.unreadable(2).await, [150].into());
    let stats = cluster.nodes[2].stats().await.unwrap();
    assert_eq!((stats.damaged.len(), stats.scrub.unwrap().unrepaired_chunks), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_too_few_others_have_stays_as_it_is() {
    let mut cluster = cluster().await;
    for node in 0..3 {
        cluster.damage(node, &[33]).await;
    }
    let status = cluster.mend(0).await.unwrap_err();
    assert!(is(&status, "REBUILD_FAILED"), "{status}");
    assert_eq!(cluster.unreadable(0).await, [33].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_for_another_chunk_than_is_here_changes_nothing() {
    let mut cluster = cluster().await;
    let order = Some(cluster.nodes[1].order());
    let mut request = wire::RebuildChunkRequest { order, in_place: true, ..cluster.request(1) };
    request.segment.as_mut().unwrap().chunks[1].digest = vec![7; 32].into();
    let status = cluster.ordered(1, request).await.unwrap_err();
    assert!(is(&status, "CHUNK_STALE"), "{status}");
    assert!(cluster.unreadable(1).await.is_empty());
}
