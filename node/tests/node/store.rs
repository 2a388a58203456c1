//! The store by itself.

use std::time::{Duration, Instant};

use cairn_node::Fatal;
use cairn_node::store::{BULK_FROM_BYTES, Store, StoreError, StoreOptions};
use cairn_proto::ids::SessionId;

use crate::fixtures::{Chunk, SESSION, allocated_bytes, at, open, options, payload};

const CELL: usize = 64 << 10;

/// Rows of `CELL` bytes after which a chunk goes to tables.
fn logged_rows() -> u32 {
    u32::try_from(BULK_FROM_BYTES).unwrap() / 65_536
}

#[tokio::test]
async fn a_small_chunk_is_written_and_sealed_in_one_call_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    let frames = vec![chunk.cell(at(0, 0), b"hello"), chunk.cell(at(0, 1), b"rest")];
    let sealed = store.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await.unwrap();
    assert_eq!(sealed, chunk.tally());
    drop(store);
    let store = open(dir.path());
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
    assert_eq!((store.sealed_chunks(), store.open_segments()), (1, 0));
}

#[tokio::test]
async fn a_large_chunk_goes_to_tables_and_survives_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    for stripe in 0..3 {
        chunk.put_rows(&store, stripe, 0, logged_rows(), CELL).await;
    }
    assert_eq!(chunk.seal(&store).await.unwrap(), chunk.tally());
    assert_eq!(std::fs::read_dir(dir.path().join("staging")).unwrap().count(), 0);
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
    drop(store);
    chunk.assert_reads(&chunk.sealed(&open(dir.path())).unwrap());
}

#[tokio::test]
async fn rows_written_again_win_wherever_the_first_ones_lie() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    let rows = logged_rows();
    chunk.put_rows(&store, 0, 0, rows + 20, CELL).await;
    for row in [3, rows + 2, rows + 19] {
        let frame = chunk.cell(at(0, row), &payload(u64::from(row) + 1_000_000, 100));
        chunk.put(&store, vec![frame]).await.unwrap();
    }
    chunk.assert_reads(&store.unsealed_cells(&chunk.target).await.unwrap());
    chunk.put_rows(&store, 1, 0, 3, CELL).await;
    chunk.seal(&store).await.unwrap();
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
}

#[tokio::test]
async fn a_row_written_twice_in_one_message_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    let first = chunk.cell(at(0, 4), b"first");
    let low = chunk.cell(at(0, 2), b"low");
    let low_again = chunk.cell(at(0, 2), b"low again");
    let second = chunk.cell(at(0, 4), b"second");
    chunk.put(&store, vec![first, low, low_again, second]).await.unwrap();
    assert_eq!(chunk.seal(&store).await.unwrap().cells, 2);
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
}

#[tokio::test]
async fn a_seal_with_another_count_or_digest_is_refused_and_can_be_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    let kept = chunk.cell(at(0, 0), b"kept");
    chunk.put(&store, vec![kept]).await.unwrap();
    let missing = chunk.cell(at(0, 1), b"missing");
    assert!(matches!(chunk.seal(&store).await, Err(StoreError::SealMismatch { .. })));
    chunk.put(&store, vec![missing]).await.unwrap();
    let tally = chunk.seal(&store).await.unwrap();
    let mut other = tally;
    other.digest = cairn_codec::Digest::from_bytes([1; 32]);
    let again = store.seal(&chunk.target, Vec::new(), &other, || Ok(())).await;
    assert!(matches!(again, Err(StoreError::SealMismatch { .. })));
}

#[tokio::test]
async fn a_sealed_segment_takes_nothing_and_answers_a_repeated_seal_alike() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    let frame = chunk.cell(at(0, 0), b"cell");
    let frames = vec![frame.clone()];
    let first = store.seal(&chunk.target, frames.clone(), &chunk.tally(), || Ok(())).await.unwrap();
    let second = store.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await.unwrap();
    assert_eq!(first, second);
    assert!(matches!(chunk.put(&store, vec![frame]).await, Err(StoreError::AlreadySealed { .. })));
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.sealed(&chunk.target, &chunk.tally()).unwrap(), Some(first));
}

#[tokio::test]
async fn a_stale_digest_or_a_foreign_chunk_index_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    let frames = vec![chunk.cell(at(0, 0), b"cell")];
    store.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await.unwrap();
    let segment = chunk.target.segment;
    let digest = chunk.tally().digest;
    assert!(matches!(store.sealed_cells(segment, 1, &[9; 32]), Err(StoreError::Stale { .. })));
    assert!(matches!(store.sealed_cells(segment, 2, digest.as_bytes()), Err(StoreError::NotFound { .. })));
    assert!(chunk.sealed(&store).unwrap().read(at(0, 1)).unwrap().is_none());
}

#[tokio::test]
async fn what_was_not_sealed_is_gone_after_reopening_and_its_space_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let empty = allocated_bytes(dir.path());
    let mut open_chunk = Chunk::new(1);
    open_chunk.put(&store, Vec::new()).await.unwrap();
    open_chunk.put_rows(&store, 0, 0, logged_rows() + 30, CELL).await;
    open_chunk.put_rows(&store, 1, 0, 30, CELL).await;
    store.unsealed_cells(&open_chunk.target).await.unwrap();
    drop(store);
    let store = open(dir.path());
    assert!(matches!(store.unsealed_cells(&open_chunk.target).await, Err(StoreError::NotFound { .. })));
    shrinks_to(dir.path(), empty + (2 << 20)).await;
}

#[tokio::test]
async fn what_was_deleted_just_before_the_end_of_a_process_gives_its_space_back_in_a_later_one() {
    let dir = tempfile::tempdir().unwrap();
    let empty = {
        drop(open(dir.path()));
        allocated_bytes(dir.path())
    };
    // Each too little to be worth the work at once.
    let rows = u32::try_from((3 << 20) / CELL).unwrap();
    let mut before: Option<Chunk> = None;
    for sequence in 1..=3 {
        let store = open(dir.path());
        let mut chunk = Chunk::new(sequence);
        chunk.put_rows(&store, 0, 0, rows, CELL).await;
        chunk.seal(&store).await.unwrap();
        if let Some(before) = before.replace(chunk) {
            store.delete(&[before.target.segment], u64::MAX).await.unwrap();
        }
    }
    let store = open(dir.path());
    shrinks_to(dir.path(), empty + (5 << 20)).await;
    let last = before.expect("three were written");
    last.assert_reads(&last.sealed(&store).unwrap());
}

#[tokio::test]
async fn a_store_is_left_only_when_its_last_table_is_in_the_database() {
    let dir = tempfile::tempdir().unwrap();
    for sequence in 0..3 {
        let store = open(dir.path());
        let mut chunk = Chunk::new(sequence);
        chunk.put_rows(&store, 0, 0, logged_rows() * 2, CELL).await;
        chunk.put_rows(&store, 1, 0, 1, CELL).await;
        drop(store);
    }
    assert_eq!(open(dir.path()).sealed_chunks(), 0);
}

#[tokio::test]
async fn a_revoked_session_leaves_no_bytes_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let before = allocated_bytes(dir.path());
    for sequence in 0..300 {
        let mut small = Chunk::new(sequence);
        small.put_rows(&store, 0, 0, 4, CELL).await;
    }
    for sequence in 300..304 {
        let mut large = Chunk::new(sequence);
        large.put_rows(&store, 0, 0, logged_rows() * 2, CELL).await;
        large.put_rows(&store, 1, 0, logged_rows(), CELL).await;
    }
    assert!(allocated_bytes(dir.path()) > before + (150 << 20));
    store.drop_session(SESSION).await.unwrap();
    assert_eq!(store.open_segments(), 0);
    shrinks_to(dir.path(), before + (2 << 20)).await;
}

#[tokio::test]
async fn a_revoked_session_keeps_what_it_sealed_and_others_keep_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (mut sealed, mut lost) = (Chunk::new(1), Chunk::new(2));
    let mut other = Chunk::of_session(SessionId(99), 1);
    for chunk in [&mut sealed, &mut lost, &mut other] {
        chunk.put_rows(&store, 0, 0, 3, CELL).await;
    }
    sealed.seal(&store).await.unwrap();
    store.drop_session(SESSION).await.unwrap();
    assert!(matches!(lost.seal(&store).await, Err(StoreError::SealMismatch { .. })));
    other.seal(&store).await.unwrap();
    for chunk in [sealed, other] {
        chunk.assert_reads(&chunk.sealed(&store).unwrap());
    }
}

#[tokio::test]
async fn deleted_chunks_are_gone_with_their_bytes_and_their_neighbours_stay() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunks: Vec<Chunk> = (0..3).map(Chunk::new).collect();
    for chunk in &mut chunks {
        chunk.put_rows(&store, 0, 0, logged_rows() + 100, CELL).await;
        chunk.seal(&store).await.unwrap();
    }
    let full = allocated_bytes(dir.path());
    let middle = chunks.remove(1);
    store.delete(&[middle.target.segment], u64::MAX).await.unwrap();
    store.delete(&[middle.target.segment], u64::MAX).await.unwrap();
    assert!(matches!(middle.sealed(&store), Err(StoreError::NotFound { .. })));
    assert!(matches!(middle.put(&store, Vec::new()).await, Err(StoreError::Dropped { .. })));
    assert_eq!(store.sealed_chunks(), 2);
    shrinks_to(dir.path(), full - (12 << 20)).await;
    drop(store);
    let store = open(dir.path());
    for chunk in chunks {
        chunk.assert_reads(&chunk.sealed(&store).unwrap());
    }
}

#[tokio::test]
async fn the_inventory_pages_through_one_session_or_all() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut expected = Vec::new();
    for sequence in 0..5 {
        let session = if sequence == 2 { SessionId(99) } else { SESSION };
        let mut chunk = Chunk::of_session(session, sequence);
        let frames = vec![chunk.cell(at(0, 0), b"cell")];
        store.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await.unwrap();
        expected.push((chunk.target, chunk.tally()));
    }
    expected.sort_by_key(|(target, _)| target.segment);
    let all = store.list(None, None, 100).unwrap();
    let listed: Vec<_> = all.chunks.iter().map(|chunk| (chunk.segment, chunk.tally)).collect();
    assert_eq!(listed, expected.iter().map(|(target, tally)| (target.segment, *tally)).collect::<Vec<_>>());
    assert!(!all.more);
    let first = store.list(Some(SESSION), None, 3).unwrap();
    assert!(first.more);
    let rest = store.list(Some(SESSION), first.chunks.last().map(|chunk| chunk.segment), 3).unwrap();
    assert!(!rest.more);
    assert_eq!(first.chunks.len() + rest.chunks.len(), 4);
    assert!(first.chunks.iter().chain(&rest.chunks).all(|chunk| chunk.transaction.session == SESSION));
}

#[tokio::test]
async fn a_flipped_bit_in_a_table_costs_that_cell_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut chunk = Chunk::new(1);
    chunk.put_rows(&store, 0, 0, logged_rows() + 40, CELL).await;
    chunk.seal(&store).await.unwrap();
    drop(store);
    let damaged = at(0, logged_rows() + 7);
    flip_a_bit_of(&dir.path().join("db"), chunk.cells[&damaged].payload().as_ref());
    let store = open(dir.path());
    let cells = chunk.sealed(&store).unwrap();
    match cells.read(damaged) {
        Err(StoreError::CellCorrupt { segment, position, chunk: index, .. }) => {
            assert_eq!((segment, position, index), (chunk.target.segment, damaged, 1));
        }
        other => panic!("{other:?}"),
    }
    chunk.cells.remove(&damaged);
    chunk.assert_reads(&cells);
}

#[tokio::test]
async fn a_full_store_refuses_writes_and_still_reads_seals_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let limited = StoreOptions { limit_bytes: Some(24 << 20), ..options(dir.path()) };
    let store = Store::open(&limited, Fatal::new()).unwrap();
    let mut chunk = Chunk::new(1);
    let mut refused = None;
    for row in 0..1_000 {
        let frame = chunk.cell(at(0, row), &payload(u64::from(row), CELL));
        if let Err(error) = chunk.put(&store, vec![frame]).await {
            chunk.cells.remove(&at(0, row));
            refused = Some((row, error));
            break;
        }
    }
    let (rows, error) = refused.expect("the limit is 24 MiB");
    assert!(matches!(error, StoreError::NoRoom { .. }), "{error}");
    assert!((300..=384).contains(&rows), "{rows} rows of 64 KiB went in");
    assert!(store.refuses_writes().is_some());
    chunk.seal(&store).await.unwrap();
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
    let usage = store.usage().unwrap();
    assert!(usage.used_bytes.abs_diff(24 << 20) < (4 << 20), "{usage:?}");
    store.delete(&[chunk.target.segment], u64::MAX).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.refuses_writes().is_some() {
        assert!(Instant::now() < deadline, "still refusing: {:?}", store.refuses_writes());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_database_of_another_owner_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let other = StoreOptions { owner: "node-b life-1".to_owned(), ..options(dir.path()) };
    assert!(matches!(Store::open(&other, Fatal::new()), Err(StoreError::ForeignDatabase { .. })));
    drop(open(dir.path()));
}

#[test]
fn a_damaged_head_of_the_database_is_refused_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let database = dir.path().join("db");
    let manifest = std::fs::read_dir(&database)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST"))
        .unwrap();
    std::fs::write(&manifest, b"").unwrap();
    let error = Store::open(&options(dir.path()), Fatal::new()).err().expect("a manifest without content");
    assert!(error.to_string().contains("remove it to have"), "{error}");
}

/// Waits for the space to come back, which is to happen within five seconds.
async fn shrinks_to(dir: &std::path::Path, limit_bytes: u64) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while allocated_bytes(dir) > limit_bytes {
        assert!(Instant::now() < deadline, "{} bytes are left, {limit_bytes} wanted", allocated_bytes(dir));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Finds the cell's bytes in a table below `dir` and flips one bit in their middle.
fn flip_a_bit_of(dir: &std::path::Path, payload: &[u8]) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sst") {
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(start) = bytes.windows(64).position(|window| window == &payload[..64]) {
            bytes[start + payload.len() / 2] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            return;
        }
    }
    panic!("no table holds the cell");
}
