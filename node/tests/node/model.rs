//! The store against a model of a few maps, over random histories.
//!
//! Cells of 2 MiB turn a chunk to tables after four of them, so that short histories reach every way a row
//! can take: logged, in a table being written, in an ingested one, shadowed.

use std::collections::{BTreeMap, BTreeSet};

use cairn_node::store::{Position, Store, StoreError};
use cairn_proto::ids::SessionId;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof};
use proptest::proptest;

use crate::fixtures::{Chunk, at, open, payload};

const SEGMENTS: usize = 2;
const CELL: usize = 2 << 20;
const ROWS_PER_STRIPE: u32 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// Sends the row after the highest.
    PutNext(usize),
    /// Sends a row that was sent before, with another, short payload; counted from the latest one.
    PutAgain(usize, usize),
    /// Sends any row, with a short payload.
    PutAt(usize, Position),
    ReadUnsealed(usize),
    Seal(usize),
    Delete(usize),
    Revoke,
    Reopen,
}

fn segment() -> impl Strategy<Value = usize> {
    0..SEGMENTS
}

fn step() -> impl Strategy<Value = Step> {
    let position = (0..4_u32, 0..ROWS_PER_STRIPE).prop_map(|(stripe, row)| at(stripe, row));
    prop_oneof![
        24 => segment().prop_map(Step::PutNext),
        6 => (segment(), 0..6_usize).prop_map(|(segment, back)| Step::PutAgain(segment, back)),
        2 => (segment(), position).prop_map(|(segment, position)| Step::PutAt(segment, position)),
        3 => segment().prop_map(Step::ReadUnsealed),
        2 => segment().prop_map(Step::Seal),
        1 => segment().prop_map(Step::Delete),
        1 => Just(Step::Revoke),
        1 => Just(Step::Reopen),
    ]
}

/// What the store should hold.
struct Model {
    /// The chunk of each slot that is being written; its session is the slot's and the model's life.
    open: Vec<Chunk>,
    sealed: Vec<Chunk>,
    deleted: Vec<Chunk>,
    versions: u64,
    session: u64,
}

impl Model {
    fn new() -> Self {
        let mut model = Self { open: Vec::new(), sealed: Vec::new(), deleted: Vec::new(), versions: 0, session: 1 };
        model.begin_all();
        model
    }

    fn begin_all(&mut self) {
        self.session += 1;
        self.open = (0..SEGMENTS).map(|_| self.fresh()).collect();
    }

    fn fresh(&mut self) -> Chunk {
        self.versions += 1;
        Chunk::of_session(SessionId(self.session), self.versions)
    }

    fn begin(&mut self, slot: usize) -> Chunk {
        let fresh = self.fresh();
        std::mem::replace(&mut self.open[slot], fresh)
    }
}

async fn put(model: &mut Model, store: &Store, slot: usize, position: Position, length: usize) {
    model.versions += 1;
    let chunk = &mut model.open[slot];
    let frame = chunk.cell(position, &payload(model.versions, length));
    chunk.put(store, vec![frame]).await.unwrap();
}

fn next_position(cells: &BTreeMap<Position, cairn_codec::Frame>) -> Position {
    match cells.keys().next_back() {
        None => at(0, 0),
        Some(last) if last.row + 1 < ROWS_PER_STRIPE => at(last.stripe, last.row + 1),
        Some(last) => at(last.stripe + 1, 0),
    }
}

async fn run(steps: Vec<Step>) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = open(dir.path());
    let mut model = Model::new();
    for step in steps {
        match step {
            Step::PutNext(slot) => {
                let position = next_position(&model.open[slot].cells);
                put(&mut model, &store, slot, position, CELL).await;
            }
            Step::PutAgain(slot, back) => {
                let position = model.open[slot].cells.keys().rev().nth(back).copied();
                if let Some(position) = position {
                    put(&mut model, &store, slot, position, 1_000).await;
                }
            }
            Step::PutAt(slot, position) => put(&mut model, &store, slot, position, 1_000).await,
            Step::ReadUnsealed(slot) => {
                let chunk = &model.open[slot];
                match store.unsealed_cells(&chunk.target).await {
                    Ok(cells) => chunk.assert_reads(&cells),
                    Err(StoreError::NotFound { .. }) => assert!(chunk.cells.is_empty()),
                    Err(error) => panic!("{error}"),
                }
            }
            Step::Seal(slot) => {
                let chunk = model.begin(slot);
                if chunk.cells.is_empty() {
                    continue;
                }
                assert_eq!(chunk.seal(&store).await.unwrap(), chunk.tally());
                model.sealed.push(chunk);
            }
            Step::Delete(slot) => {
                let chunk = if model.sealed.is_empty() { model.begin(slot) } else { model.sealed.remove(0) };
                store.delete(&[chunk.target.segment], u64::MAX).await.unwrap();
                model.deleted.push(chunk);
            }
            Step::Revoke => {
                store.drop_session(SessionId(model.session)).await.unwrap();
                assert_eq!(store.open_segments(), 0);
                model.begin_all();
            }
            Step::Reopen => {
                drop(store);
                store = open(dir.path());
                assert_eq!(store.open_segments(), 0);
                check_cells(&model, &store);
                model.begin_all();
            }
        }
        check_inventory(&model, &store);
    }
    check_cells(&model, &store);
    drop(store);
    check_cells(&model, &open(dir.path()));
}

fn check_inventory(model: &Model, store: &Store) {
    let listed: BTreeSet<_> = store.list(None, None, 1_000).unwrap().chunks.iter().map(|chunk| chunk.segment).collect();
    assert_eq!(listed, model.sealed.iter().map(|chunk| chunk.target.segment).collect());
    assert_eq!(store.sealed_chunks(), model.sealed.len() as u64);
}

fn check_cells(model: &Model, store: &Store) {
    for chunk in &model.sealed {
        chunk.assert_reads(&chunk.sealed(store).unwrap());
    }
    for chunk in &model.deleted {
        assert!(matches!(chunk.sealed(store), Err(StoreError::NotFound { .. })));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_holds_what_the_model_holds(steps in vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(steps));
    }
}
