//! The store cut off at each step of a seal or of a repair, and opened again. Failpoints are global to a process, so
//! these tests have one of their own and take turns.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../node/fixtures.rs"]
#[allow(dead_code, reason = "shared with a larger test program")]
mod fixtures;

use cairn_node::store::{BULK_FROM_BYTES, RecordCopy, Store, StoreError};
use cairn_node::{DeviceConfig, DeviceError, Home, IdentityError, Places};
use fail::FailScenario;
use fixtures::{Chunk, SESSION, allocated_bytes, at, open, payload};

const CELL: usize = 64 << 10;

/// More than a store without cells takes on the disk, and less than what the cut-off chunk took.
const EMPTY_BYTES: u64 = 2 << 20;

/// A chunk with rows in the log and in a table that is not closed yet.
async fn written(store: &Store) -> Chunk {
    let mut chunk = Chunk::new(1);
    let logged = u32::try_from(BULK_FROM_BYTES).unwrap() / 65_536;
    chunk.put_rows(store, 0, 0, logged + 20, CELL).await;
    chunk
}

/// Seals a chunk with `failpoint` on, and opens the store again.
async fn cut_off_at(failpoint: &str, dir: &std::path::Path) -> (Chunk, Store) {
    let scenario = FailScenario::setup();
    let store = open(dir);
    let chunk = written(&store).await;
    fail::cfg(failpoint, "return").unwrap();
    let outcome = chunk.seal(&store).await;
    assert!(matches!(outcome, Err(StoreError::WriteFailed { .. })), "{outcome:?}");
    drop(store);
    scenario.teardown();
    (chunk, open(dir))
}

/// Nothing of the chunk is left, and the segment can be written anew.
async fn assert_gone(chunk: Chunk, store: &Store, dir: &std::path::Path) {
    let segment = chunk.target.segment;
    assert!(matches!(chunk.sealed(store), Err(StoreError::NotFound { .. })));
    assert!(matches!(chunk.seal(store).await, Err(StoreError::SealMismatch { .. })));
    assert_eq!(std::fs::read_dir(dir.join("staging")).unwrap().count(), 0);
    let mut again = chunk;
    again.cells.clear();
    let frame = again.cell(at(9, 9), &payload(5, 100));
    store.seal(&again.target, vec![frame], &again.tally(), || Ok(())).await.unwrap();
    let cells = again.sealed(store).unwrap();
    again.assert_reads(&cells);
    assert!(cells.read(at(0, 0)).unwrap().is_none(), "a cell of {segment} outlived its process");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while allocated_bytes(dir) > EMPTY_BYTES {
        assert!(std::time::Instant::now() < deadline, "{} bytes are left", allocated_bytes(dir));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_table_that_is_finished_and_not_ingested_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (chunk, store) = cut_off_at("staging-finished", dir.path()).await;
    assert_gone(chunk, &store, dir.path()).await;
}

#[tokio::test]
async fn a_table_that_is_ingested_without_a_record_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let (chunk, store) = cut_off_at("staging-ingested", dir.path()).await;
    assert_gone(chunk, &store, dir.path()).await;
}

#[tokio::test]
async fn a_chunk_whose_record_is_written_is_sealed_though_nobody_heard() {
    let dir = tempfile::tempdir().unwrap();
    let (chunk, store) = cut_off_at("chunk-sealed", dir.path()).await;
    assert_eq!(chunk.seal(&store).await.unwrap(), chunk.tally());
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
}

#[tokio::test]
async fn a_segment_whose_write_failed_takes_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let scenario = FailScenario::setup();
    let store = open(dir.path());
    let mut chunk = written(&store).await;
    fail::cfg("staging-finished", "return").unwrap();
    assert!(store.unsealed_cells(&chunk.target).await.is_err());
    scenario.teardown();
    let frame = chunk.cell(at(1, 0), b"late");
    assert!(matches!(chunk.put(&store, vec![frame]).await, Err(StoreError::Broken { .. })));
    assert!(matches!(chunk.seal(&store).await, Err(StoreError::Broken { .. })));
    store.drop_session(SESSION).await.unwrap();
    assert_eq!(store.open_segments(), 0);
}

#[tokio::test]
async fn a_chunk_that_moves_away_from_a_damaged_table_goes_on_wherever_it_was_cut_off() {
    for failpoint in ["cells-mended", "chunk-mended"] {
        let dir = tempfile::tempdir().unwrap();
        let scenario = FailScenario::setup();
        let store = open(dir.path());
        let chunk = written(&store).await;
        chunk.seal(&store).await.unwrap();
        store.leave_generation(0).unwrap();
        fail::cfg(failpoint, "return").unwrap();
        let moved = store.move_logged(chunk.target.segment).await;
        assert!(matches!(moved, Err(StoreError::WriteFailed { .. })), "{moved:?}");
        drop(store);
        scenario.teardown();
        let store = open(dir.path());
        assert_eq!(store.generations(), [0, 1], "{failpoint}");
        chunk.assert_reads(&chunk.sealed(&store).unwrap());
        store.move_logged(chunk.target.segment).await.unwrap();
        assert_eq!(store.drop_left_generations().await.unwrap(), 0);
        assert_eq!(store.generations(), [1]);
        drop(store);
        chunk.assert_reads(&chunk.sealed(&open(dir.path())).unwrap());
    }
}

#[tokio::test]
async fn records_that_are_made_anew_are_there_wherever_that_was_cut_off() {
    for failpoint in ["records-dropped", "records-empty"] {
        for copy in [RecordCopy::Chunks, RecordCopy::ChunksAgain, RecordCopy::System] {
            let dir = tempfile::tempdir().unwrap();
            let scenario = FailScenario::setup();
            let store = open(dir.path());
            let chunk = written(&store).await;
            chunk.seal(&store).await.unwrap();
            fail::cfg(failpoint, "return").unwrap();
            let renewed = store.renew_records(copy).await;
            assert!(matches!(renewed, Err(StoreError::WriteFailed { .. })), "{renewed:?}");
            chunk.assert_reads(&chunk.sealed(&store).unwrap());
            drop(store);
            scenario.teardown();
            let store = open(dir.path());
            chunk.assert_reads(&chunk.sealed(&store).unwrap());
            assert_eq!(store.scan_records(), []);
        }
    }
}

#[test]
fn devices_whose_forming_is_cut_off_are_formed_to_their_end() {
    for failpoint in ["return", "1*off->return"] {
        let dir = tempfile::tempdir().unwrap();
        let device = |name: &str| DeviceConfig { name: name.to_owned(), dir: dir.path().join(name), limit: None };
        let devices = [device("fast"), device("slow")];
        let open =
            || Home::open(&dir.path().join("home"), "node-1", &Places { devices: &devices, ..Places::default() });
        let scenario = FailScenario::setup();
        fail::cfg("device-formed", failpoint).unwrap();
        assert!(matches!(open(), Err(IdentityError::Device(DeviceError::Io { .. }))));
        scenario.teardown();
        let formed = std::fs::read_to_string(dir.path().join("fast/device.toml")).unwrap();
        let home = open().unwrap();
        assert_eq!(home.devices().len(), 2);
        let identity = home.identity().clone();
        drop(home);
        assert_eq!(open().unwrap().identity().node, identity.node);
        let again = std::fs::read_to_string(dir.path().join("fast/device.toml")).unwrap();
        assert_eq!(formed, again, "what was formed is not formed again");
    }
}
