//! A manifest that is not as long as it was is refused before `RocksDB` removes what the rest of it does not name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cairn_node::Fatal;
use cairn_node::store::{BULK_FROM_BYTES, Store, StoreError};

use crate::fixtures::{Chunk, at, open, options};

const CELL: usize = 64 << 10;
/// Rows that go into a table, behind those that go through the log.
const TABLE_ROWS: u32 = 20;

fn rows() -> u32 {
    u32::try_from(BULK_FROM_BYTES).unwrap() / 65_536 + TABLE_ROWS
}

/// The manifest that is in use.
fn manifest(dir: &Path) -> PathBuf {
    let current = fs::read_to_string(dir.join("db/CURRENT")).unwrap();
    dir.join("db").join(current.trim_end())
}

/// Every file of the database with its size.
fn files(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let files = fs::read_dir(dir.join("db")).unwrap().map(|file| file.unwrap());
    files.map(|file| (file.path(), file.metadata().unwrap().len())).collect()
}

fn cut(file: &Path, length: u64) {
    fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length).unwrap();
}

/// A store with one chunk that has rows in a table, closed. Answers the length of the manifest before there was a table.
async fn closed_store(dir: &Path) -> (Chunk, u64) {
    let store = open(dir);
    let without_table = fs::metadata(manifest(dir)).unwrap().len();
    let mut chunk = Chunk::new(1);
    chunk.put_rows(&store, 0, 0, rows(), CELL).await;
    chunk.seal(&store).await.unwrap();
    (chunk, without_table)
}

#[tokio::test]
async fn a_manifest_cut_anywhere_is_refused_and_nothing_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let (chunk, _) = closed_store(dir.path()).await;
    let manifest = manifest(dir.path());
    let whole = fs::read(&manifest).unwrap();
    let length = whole.len() as u64;
    for kept in (0..length).step_by(61).chain([length / 2, length - 1]) {
        fs::write(&manifest, &whole).unwrap();
        cut(&manifest, kept);
        let before = files(dir.path());
        let error = Store::open(&options(dir.path()), Fatal::new()).err().expect("a manifest that was cut");
        assert!(matches!(error, StoreError::Open { .. }), "{error}");
        let said = error.to_string();
        let name = manifest.file_name().unwrap().to_str().unwrap();
        for told in [name, &format!("{kept} bytes"), &format!("{length} were"), "remove it to have"] {
            assert!(said.contains(told), "{told} is not in: {said}");
        }
        assert_eq!(files(dir.path()), before, "{kept}");
    }
    fs::write(&manifest, &whole).unwrap();
    let store = open(dir.path());
    chunk.assert_reads(&chunk.sealed(&store).unwrap());
}

#[tokio::test]
async fn without_the_mark_a_cut_manifest_loses_a_sealed_chunk() {
    let dir = tempfile::tempdir().unwrap();
    let (chunk, without_table) = closed_store(dir.path()).await;
    cut(&manifest(dir.path()), without_table);
    assert!(Store::open(&options(dir.path()), Fatal::new()).is_err());
    fs::remove_file(dir.path().join("db/manifest.synced")).unwrap();
    let store = open(dir.path());
    let last = chunk.sealed(&store).unwrap().read(at(0, rows() - 1));
    assert!(!matches!(last, Ok(Some(_))), "the cut changes nothing, so the other tests show nothing");
}

#[tokio::test]
async fn a_mark_that_lies_behind_is_no_alarm() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    // As after a kill right at the start: this manifest grows, and later ones take its place.
    let mark = fs::read(dir.path().join("db/manifest.synced")).unwrap();
    drop(store);
    let mut chunks = Vec::new();
    for sequence in 0..3 {
        fs::write(dir.path().join("db/manifest.synced"), &mark).unwrap();
        let store = open(dir.path());
        let mut chunk = Chunk::new(sequence);
        chunk.put_rows(&store, 0, 0, rows(), CELL).await;
        chunk.seal(&store).await.unwrap();
        chunks.push(chunk);
    }
    let store = open(dir.path());
    for chunk in chunks {
        chunk.assert_reads(&chunk.sealed(&store).unwrap());
    }
}

#[test]
fn a_database_made_in_place_of_one_that_is_gone_owes_it_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        drop(open(dir.path()));
    }
    for (path, _) in files(dir.path()) {
        if !path.ends_with("manifest.synced") {
            fs::remove_file(path).unwrap();
        }
    }
    drop(open(dir.path()));
    drop(open(dir.path()));
}
