//! The stores of several devices, as one.

use std::path::Path;
use std::sync::Arc;

use cairn_node::Fatal;
use cairn_node::store::{Store, StoreError};
use cairn_node::stores::{DeviceStore, Stores};
use cairn_proto::ids::{SegmentId, SessionId};
use futures_util::future::join_all;

use crate::fixtures::{Chunk, SESSION, at, options, payload};

const NAMES: [&str; 2] = ["fast", "slow"];
const CHUNK_BYTES: usize = 100_000;

fn open_with(dir: &Path, limits: [u64; 2]) -> Stores {
    let device = |(name, limit): (&str, u64)| {
        let options = cairn_node::store::StoreOptions { limit_bytes: Some(limit), ..options(&dir.join(name)) };
        std::fs::create_dir_all(dir.join(name)).unwrap();
        DeviceStore { device: name.to_owned(), store: Arc::new(Store::open(&options, Fatal::new()).unwrap()) }
    };
    Stores::new(NAMES.into_iter().zip(limits).map(device).collect())
}

fn open(dir: &Path) -> Stores {
    open_with(dir, [1 << 30; 2])
}

async fn sealed(stores: &Stores, sequence: u64) -> Chunk {
    let mut chunk = Chunk::new(sequence);
    let frames = vec![chunk.cell(at(0, 0), &payload(sequence, CHUNK_BYTES))];
    stores.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await.unwrap();
    chunk
}

async fn sealed_chunks(stores: &Stores, count: u64) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for sequence in 1..=count {
        chunks.push(sealed(stores, sequence).await);
    }
    chunks
}

fn counts(stores: &Stores) -> Vec<u64> {
    stores.devices().iter().map(|device| device.store.sealed_chunks()).collect()
}

fn assert_reads(stores: &Stores, chunk: &Chunk) {
    let digest = chunk.tally().digest;
    let cells = stores.sealed_cells(chunk.target.segment, chunk.target.chunk_index, digest.as_bytes()).unwrap();
    chunk.assert_reads(&cells);
}

/// All that is listed, in pages of `limit`.
fn listed(stores: &Stores, limit: usize) -> Vec<SegmentId> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = stores.list(None, after, limit).unwrap();
        found.extend(page.chunks.iter().map(|chunk| chunk.segment));
        after = found.last().copied();
        if !page.more {
            return found;
        }
    }
}

#[tokio::test]
async fn chunks_spread_over_devices_and_are_found_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    let chunks = sealed_chunks(&stores, 40).await;
    assert!(counts(&stores).iter().all(|count| *count >= 10), "{:?}", counts(&stores));
    let before = counts(&stores);
    drop(stores);
    let stores = open(dir.path());
    assert_eq!((counts(&stores), stores.sealed_chunks()), (before, 40));
    for chunk in &chunks {
        assert_reads(&stores, chunk);
    }
    for chunk in &chunks {
        let again = stores.seal(&chunk.target, Vec::new(), &chunk.tally(), || Ok(())).await;
        assert_eq!(again.unwrap(), chunk.tally(), "a repeated seal finds its device");
    }
}

#[tokio::test]
async fn an_inventory_is_in_order_over_all_devices_page_after_page() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    let mut expected: Vec<SegmentId> =
        sealed_chunks(&stores, 23).await.iter().map(|chunk| chunk.target.segment).collect();
    expected.sort_unstable();
    for limit in [1, 4, 23, 100] {
        assert_eq!(listed(&stores, limit), expected, "in pages of {limit}");
    }
    assert!(stores.list(Some(SessionId(99)), None, 5).unwrap().chunks.is_empty());
    assert_eq!(stores.list(Some(SESSION), None, 30).unwrap().chunks.len(), 23);
}

#[tokio::test]
async fn a_deletion_takes_each_chunk_from_its_device_and_keeps_late_cells_off_all() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    let chunks = sealed_chunks(&stores, 20).await;
    let of_first = |chunk: &Chunk| stores.devices()[0].store.chunk_index(chunk.target.segment).unwrap().is_some();
    let (doomed, kept): (Vec<&Chunk>, Vec<&Chunk>) = chunks.iter().partition(|chunk| of_first(chunk));
    let doomed: Vec<SegmentId> = doomed.iter().map(|chunk| chunk.target.segment).collect();
    stores.delete(&doomed, u64::MAX).await.unwrap();
    assert_eq!(counts(&stores), [0, kept.len() as u64]);
    for chunk in kept {
        assert_reads(&stores, chunk);
    }
    let mut late = Chunk::new(50);
    late.target.segment = doomed[0];
    let frame = late.cell(at(0, 0), b"late");
    let put = stores.put(&late.target, vec![frame], || Ok(())).await;
    assert!(matches!(put, Err(StoreError::Dropped { .. })), "{put:?}");
}

#[tokio::test]
async fn streams_of_one_segment_that_begin_at_once_share_a_device() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    for sequence in 0..20 {
        let mut chunk = Chunk::new(sequence);
        let frames: Vec<_> = (0..8).map(|row| chunk.cell(at(0, row), &payload(u64::from(row), 10_000))).collect();
        let puts = frames.into_iter().map(|frame| stores.put(&chunk.target, vec![frame], || Ok(())));
        for put in join_all(puts).await {
            put.unwrap();
        }
        let open = stores.devices().iter().filter(|device| device.store.is_open(chunk.target.segment)).count();
        assert_eq!(open, 1);
        stores.seal(&chunk.target, Vec::new(), &chunk.tally(), || Ok(())).await.unwrap();
        assert_reads(&stores, &chunk);
    }
}

#[tokio::test]
async fn a_full_device_is_passed_over_and_a_full_node_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open_with(dir.path(), [1, 1 << 30]);
    sealed_chunks(&stores, 5).await;
    assert_eq!((counts(&stores), stores.refuses_writes()), (vec![0, 5], None));
    drop(stores);
    let stores = open_with(dir.path(), [1, 1]);
    let mut chunk = Chunk::new(9);
    let frame = chunk.cell(at(0, 0), b"more");
    let put = stores.put(&chunk.target, vec![frame], || Ok(())).await;
    assert!(matches!(put, Err(StoreError::NoRoom { .. })), "{put:?}");
    assert_eq!(stores.open_segments(), 0, "nothing was begun");
    let why = stores.refuses_writes().unwrap();
    assert!(why.contains("fast: ") && why.contains("; slow: "), "{why}");
}

#[tokio::test]
async fn the_end_of_a_session_drops_what_is_open_on_every_device() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    for sequence in 0..12 {
        let mut chunk = Chunk::new(sequence);
        let frame = chunk.cell(at(0, 0), &payload(sequence, CHUNK_BYTES));
        stores.put(&chunk.target, vec![frame], || Ok(())).await.unwrap();
    }
    let open: Vec<usize> = stores.devices().iter().map(|device| device.store.open_segments()).collect();
    assert!(open.iter().all(|count| *count >= 3), "{open:?}");
    stores.drop_session(SESSION).await.unwrap();
    assert_eq!(stores.open_segments(), 0);
    assert!(stores.usage().unwrap().iter().all(|device| device.reserved_bytes == 0));
}

#[tokio::test]
async fn what_the_node_must_remember_is_on_every_device() {
    let dir = tempfile::tempdir().unwrap();
    let stores = open(dir.path());
    stores.keep_system_record("epochs", "7".into()).await.unwrap();
    assert_eq!(stores.system_records("epochs").unwrap(), [b"7", b"7"]);
    assert!(stores.system_records("none").unwrap().is_empty());
}
