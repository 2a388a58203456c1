//! Bits that flip in tables: all of them are found, none is ever read, and what was there is put right.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use cairn_codec::Frame;
use cairn_node::Fatal;
use cairn_node::store::{BULK_FROM_BYTES, Inspected, RecordCopy, ScanStep, Store, StoreError, Verdict};
use cairn_proto::ids::SegmentId;
use proptest::prelude::{ProptestConfig, any, proptest};
use tokio::runtime::Runtime;

use crate::fixtures::{Chunk, at, open, options, payload};

const CELL: usize = 64 << 10;
/// Bytes at a table's end in which its properties, its index and its footer lie.
const TAIL_BYTES: u64 = 600;

fn logged_rows() -> u32 {
    u32::try_from(BULK_FROM_BYTES).unwrap() / 65_536
}

/// A chunk of a few small cells, of which several share a block.
async fn small(store: &Store, sequence: u64) -> Chunk {
    let mut chunk = Chunk::new(sequence);
    let cell = |row: u32| (at(0, row), payload(sequence << 32 | u64::from(row), 700));
    let cells: Vec<_> = (0..6).map(cell).collect();
    let frames = cells.iter().map(|(position, bytes)| chunk.cell(*position, bytes)).collect();
    store.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await.unwrap();
    chunk
}

/// A chunk with rows in the log and in two tables.
async fn large(store: &Store, sequence: u64) -> Chunk {
    let mut chunk = Chunk::new(sequence);
    chunk.put_rows(store, 0, 0, logged_rows() + 12, CELL).await;
    chunk.put_rows(store, 1, 0, 12, CELL).await;
    let again = chunk.cell(at(0, logged_rows() + 3), &payload(sequence + 1_000_000, 500));
    chunk.put(store, vec![again]).await.unwrap();
    chunk.seal(store).await.unwrap();
    chunk
}

/// A closed store whose cells and records are all in tables.
async fn closed_store(dir: &Path, larges: u64) -> Vec<Chunk> {
    let store = open(dir);
    let mut chunks = Vec::new();
    for sequence in 0..larges {
        chunks.push(large(&store, sequence).await);
    }
    for sequence in 100..140 {
        chunks.push(small(&store, sequence).await);
    }
    drop(store);
    // What was in the log goes to tables when it is opened again.
    drop(open(dir));
    chunks
}

fn tables(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("db")).unwrap().map(|file| file.unwrap().path());
    let mut tables: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "sst")).collect();
    tables.sort();
    tables
}

fn flip(path: &Path, bit: u64) {
    let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, bit / 8).unwrap();
    file.write_all_at(&[byte[0] ^ 1 << (bit % 8)], bit / 8).unwrap();
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// The table that holds these bytes, and where.
fn find(dir: &Path, bytes: &[u8]) -> (PathBuf, u64) {
    let found = tables(dir).into_iter().find_map(|path| {
        let contents = fs::read(&path).unwrap();
        let start = contents.windows(64).position(|window| window == &bytes[..64])?;
        Some((path, start as u64))
    });
    found.expect("no table holds the cell")
}

/// What one pass finds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    chunks: BTreeSet<SegmentId>,
    generations: BTreeSet<u32>,
    records: BTreeSet<RecordCopy>,
    /// Some records cannot be read in either of their families.
    has_lost_records: bool,
}

async fn scrub(store: &Store) -> Found {
    store.forget_blocks();
    let mut found = Found::default();
    let report = store.check_tables().unwrap();
    let unreadable: BTreeSet<RecordCopy> = store.scan_records().iter().map(|(copy, _)| *copy).collect();
    found.has_lost_records = unreadable.iter().any(|copy| unreadable.contains(&copy.other()));
    if found.has_lost_records {
        return found;
    }
    for copy in unreadable.into_iter().chain(report.records.into_keys()) {
        store.renew_records(copy).await.unwrap();
        found.records.insert(copy);
    }
    found.generations.extend(report.generations.keys());
    found.chunks.extend(report.segments.keys());
    for generation in store.generations() {
        let mut from = Vec::new();
        loop {
            match store.scan_generation(generation, &from) {
                ScanStep::Next(next, _) => from = next,
                ScanStep::End(_) => break,
                ScanStep::Damaged(_) => {
                    found.generations.insert(generation);
                    break;
                }
            }
        }
    }
    verify(store, &mut found);
    found
}

/// What the chunks are, once the records can be read.
fn verify(store: &Store, found: &mut Found) {
    for chunk in store.list(None, None, 10_000).unwrap().chunks {
        if let Verdict::Damaged { generation, .. } = store.verify(chunk.segment, &|_| ()).unwrap() {
            found.chunks.insert(chunk.segment);
            found.generations.extend(generation);
        }
    }
}

/// Every cell that can be read is right; answers whether all can.
fn reads_right(store: &Store, chunk: &Chunk) -> bool {
    let Ok(cells) = chunk.sealed(store) else { return false };
    let right = chunk.cells.iter().map(|(position, frame)| match cells.read(*position) {
        Ok(Some(read)) => {
            assert!(read.bytes() == frame.bytes(), "{position:?} has other bytes");
            true
        }
        Ok(None) | Err(_) => false,
    });
    // Each is looked at, also behind one that cannot be read.
    let right: Vec<bool> = right.collect();
    right.into_iter().all(|right| right)
}

/// Puts a chunk right with the cells that other nodes would give. Answers how many were written.
async fn mend(store: &Store, chunk: &Chunk) -> usize {
    let target = &chunk.target;
    let begun = store.begin_mending(target.segment, target.chunk_index, &chunk.tally()).unwrap();
    let mut mending = begun.expect("it has a record");
    let inspect = |position| mending.inspector().inspect(position);
    let is_sound = |position| matches!(inspect(position), Inspected::Sound(_));
    let bad = chunk.cells.iter().filter(|(position, _)| !is_sound(**position));
    let frames: Vec<Frame> = bad.map(|(_, frame)| frame.clone()).collect();
    let written = frames.len();
    for frame in frames {
        store.write_mended(&mut mending, vec![frame]).await.unwrap();
    }
    assert_eq!(store.end_mending(mending).await.unwrap(), chunk.tally());
    written
}

/// Does what a node does with what it found.
async fn put_right(store: &Store, found: &Found, chunks: &[Chunk]) {
    for generation in &found.generations {
        store.leave_generation(*generation).unwrap();
    }
    for chunk in chunks.iter().filter(|chunk| found.chunks.contains(&chunk.target.segment)) {
        mend(store, chunk).await;
    }
    for chunk in chunks {
        if store.move_logged(chunk.target.segment).await.is_err() {
            mend(store, chunk).await;
        }
    }
    assert_eq!(store.drop_left_generations().await.unwrap(), 0);
}

async fn assert_put_right(dir: &Path, store: Store, chunks: &[Chunk]) {
    assert!(chunks.iter().all(|chunk| reads_right(&store, chunk)));
    assert_eq!(scrub(&store).await, Found::default(), "a second pass finds nothing");
    drop(store);
    let store = open(dir);
    assert!(chunks.iter().all(|chunk| reads_right(&store, chunk)));
    assert_eq!(scrub(&store).await, Found::default());
    // Nothing is left that cannot be written and deleted any more.
    let more = small(&store, 7_000).await;
    let segments: Vec<SegmentId> = chunks.iter().chain([&more]).map(|chunk| chunk.target.segment).collect();
    store.delete(&segments, u64::MAX).await.unwrap();
    assert_eq!(store.sealed_chunks(), 0);
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = closed_store(dir.path(), 1).await;
    let store = open(dir.path());
    assert_eq!(scrub(&store).await, Found::default());
    assert_eq!(mend(&store, &chunks[0]).await, 0);
    assert!(!store.move_logged(chunks[0].target.segment).await.unwrap());
}

#[tokio::test]
async fn a_cell_in_a_table_of_its_own_chunk_is_found_and_put_right_alone() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = closed_store(dir.path(), 1).await;
    let cell = &chunks[0].cells[&at(1, 5)];
    let (table, start) = find(dir.path(), &cell.payload());
    flip(&table, (start + 30_000) * 8);
    let store = open(dir.path());
    let found = scrub(&store).await;
    let only = Found { chunks: [chunks[0].target.segment].into(), ..Found::default() };
    assert_eq!(found, only);
    assert_eq!(mend(&store, &chunks[0]).await, 1);
    assert_put_right(dir.path(), store, &chunks).await;
}

#[tokio::test]
async fn a_flip_that_comes_while_the_store_is_open_is_found_wherever_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = closed_store(dir.path(), 1).await;
    let logged = find(dir.path(), &chunks[0].cells[&at(0, 5)].payload());
    let small = find(dir.path(), &chunks[9].cells[&at(0, 2)].payload());
    let own_table = find(dir.path(), &chunks[0].cells[&at(1, 2)].payload()).0;
    let places = [
        (logged.0.clone(), logged.1 + 100),
        (small.0.clone(), small.1 + 100),
        (own_table.clone(), length(&own_table) - TAIL_BYTES / 2),
        (logged.0.clone(), length(&logged.0) - TAIL_BYTES / 2),
        (own_table.clone(), length(&own_table) - 20),
    ];
    for (table, offset) in places {
        let copy = tempfile::tempdir().unwrap();
        copy_store(dir.path(), copy.path());
        let store = open(copy.path());
        assert!(chunks.iter().all(|chunk| reads_right(&store, chunk)));
        let table = copy.path().join("db").join(table.file_name().unwrap());
        flip(&table, offset * 8 + 3);
        let found = scrub(&store).await;
        assert!(found != Found::default(), "byte {offset} of {} is damaged", table.display());
        put_right(&store, &found, &chunks).await;
        assert_put_right(copy.path(), store, &chunks).await;
    }
}

fn copy_store(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("db")).unwrap();
    for file in fs::read_dir(from.join("db")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join("db").join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn a_chunk_deleted_while_it_is_put_right_stays_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let chunk = small(&store, 1).await;
    let target = &chunk.target;
    let mut mending = store.begin_mending(target.segment, target.chunk_index, &chunk.tally()).unwrap().unwrap();
    store.write_mended(&mut mending, chunk.cells.values().cloned().collect()).await.unwrap();
    store.delete(&[target.segment], u64::MAX).await.unwrap();
    let ended = store.end_mending(mending).await;
    assert!(matches!(ended, Err(StoreError::NotFound { .. })), "{ended:?}");
    assert!(matches!(chunk.sealed(&store), Err(StoreError::NotFound { .. })));
    assert!(store.begin_mending(target.segment, target.chunk_index, &chunk.tally()).unwrap().is_none());
}

#[tokio::test]
async fn what_a_repair_that_broke_off_has_left_is_never_read() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = closed_store(dir.path(), 1).await;
    let store = open(dir.path());
    let target = &chunks[0].target;
    let mut mending = store.begin_mending(target.segment, target.chunk_index, &chunks[0].tally()).unwrap().unwrap();
    let mut other = Chunk { target: *target, cells: std::collections::BTreeMap::new() };
    // It is a row of a table, of which the record says otherwise.
    let wrong = other.cell(at(1, 4), &payload(77, 900));
    store.write_mended(&mut mending, vec![wrong]).await.unwrap();
    drop(mending);
    let is_shadowed = chunks[0].cells.contains_key(&at(0, logged_rows() + 3));
    assert!(is_shadowed, "the fixture wrote a row again");
    assert_eq!(scrub(&store).await.chunks.len(), 1, "a chunk whose record shadows notices it");
    mend_with_others(&store, &chunks[0]).await;
    assert_put_right(dir.path(), store, &chunks).await;
}

/// Writes every cell once more: what is there may be well-formed and another than it should be.
async fn mend_with_others(store: &Store, chunk: &Chunk) {
    let target = &chunk.target;
    let mut mending = store.begin_mending(target.segment, target.chunk_index, &chunk.tally()).unwrap().unwrap();
    let frames = chunk.cells.values().cloned().collect();
    store.write_mended(&mut mending, frames).await.unwrap();
    store.end_mending(mending).await.unwrap();
}

#[tokio::test]
async fn a_compaction_that_meets_a_damaged_table_ends_the_node_and_the_next_start_moves_away_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut chunks = closed_store(dir.path(), 3).await;
    let (table, start) = find(dir.path(), &chunks[1].cells[&at(0, logged_rows() + 3)].payload());
    let fatal = Fatal::new();
    let store = Store::open(&options(dir.path()), fatal.clone()).unwrap();
    flip(&table, (start + 100) * 8);
    // Deleting enough on both sides has what lies between compacted.
    let doomed = [chunks.remove(2), chunks.remove(0)].map(|chunk| chunk.target.segment);
    store.delete(&doomed, u64::MAX).await.unwrap();
    let mut sequence = 200;
    while fatal.cause().is_none() {
        assert!(sequence < 400, "no compaction has met the table");
        let mut chunk = Chunk::new(sequence);
        let frames = vec![chunk.cell(at(0, 0), &payload(sequence, 700))];
        match store.seal(&chunk.target, frames, &chunk.tally(), || Ok(())).await {
            Ok(_) => chunks.push(chunk),
            Err(error) => assert!(matches!(error, StoreError::WriteFailed { .. }), "{error}"),
        }
        sequence += 1;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(fatal.cause().unwrap().contains("damaged"), "{:?}", fatal.cause());
    drop(store);
    let store = open(dir.path());
    assert_eq!(store.generations(), [0, 1]);
    let found = scrub(&store).await;
    assert!(found.chunks.contains(&chunks[0].target.segment), "{found:?}");
    put_right(&store, &found, &chunks).await;
    assert_eq!(store.generations(), [1]);
    assert_put_right(dir.path(), store, &chunks).await;
}

/// The tables of a family, whose name is among the properties of each.
fn tables_of(dir: &Path, family: &str) -> Vec<PathBuf> {
    let has = |bytes: &[u8], name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    let is_of = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        has(&bytes, family) && !has(&bytes, &format!("{family}-again"))
    };
    let tables: Vec<PathBuf> = tables(dir).into_iter().filter(is_of).collect();
    assert!(!tables.is_empty(), "{family} has no table");
    tables
}

#[tokio::test]
async fn damaged_records_are_read_from_where_they_are_kept_once_more() {
    let dir = tempfile::tempdir().unwrap();
    let chunks = closed_store(dir.path(), 0).await;
    for while_open in [true, false] {
        for family in ["chunks", "chunks-again", "system", "system-again"] {
            let before = while_open.then(|| open(dir.path()));
            for table in tables_of(dir.path(), family) {
                flip(&table, 20 * 8);
            }
            let was_open = before.is_some();
            let store = before.unwrap_or_else(|| open(dir.path()));
            assert_eq!(scrub(&store).await.records.len(), usize::from(was_open), "{family}");
            assert_eq!(scrub(&store).await, Found::default());
            assert!(chunks.iter().all(|chunk| reads_right(&store, chunk)));
            drop(store);
            // Into tables again.
            drop(open(dir.path()));
        }
    }
}

#[tokio::test]
async fn records_that_are_lost_twice_are_refused_at_the_start_with_the_next_step() {
    let dir = tempfile::tempdir().unwrap();
    closed_store(dir.path(), 0).await;
    let all = tables(dir.path());
    for table in &all {
        flip(table, 20 * 8);
    }
    let error = Store::open(&options(dir.path()), Fatal::new()).err().expect("no record can be read");
    assert!(error.to_string().contains("remove it to have the node join again"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn bits_that_flip_anywhere_are_found_and_put_right_or_the_start_is_refused(
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<proptest::sample::Index>()), 1..6),
        while_open: bool,
    ) {
        Runtime::new().unwrap().block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let chunks = closed_store(dir.path(), 1).await;
            let before = while_open.then(|| open(dir.path()));
            for (table, bit) in flips {
                let tables = tables(dir.path());
                let table = table.get(&tables);
                flip(table, bit.index(usize::try_from(length(table)).unwrap() * 8) as u64);
            }
            let store = match before.map_or_else(|| Store::open(&options(dir.path()), Fatal::new()), Ok) {
                Ok(store) => store,
                Err(error) => {
                    let said = error.to_string();
                    return assert!(said.contains("remove it to have the node join again"), "{said}");
                }
            };
            let found = scrub(&store).await;
            if found.has_lost_records {
                return;
            }
            let unreadable = chunks.iter().filter(|chunk| !reads_right(&store, chunk));
            let missed: Vec<_> =
                unreadable.map(|chunk| chunk.target.segment).filter(|it| !found.chunks.contains(it)).collect();
            assert!(missed.is_empty(), "{missed:?} of {found:?}");
            put_right(&store, &found, &chunks).await;
            assert_put_right(dir.path(), store, &chunks).await;
        });
    }
}
