//! A store in a directory of its own, and a writer that counts what it sends.

use std::collections::BTreeMap;
use std::path::Path;

use cairn_codec::{CellId, Digest, Frame};
use cairn_node::Fatal;
use cairn_node::store::{
    BULK_FROM_BYTES, Cells, LogSyncing, MemoryShares, Position, Store, StoreError, StoreOptions, Tally, Target,
};
use cairn_proto::ids::{SegmentId, SessionId, TransactionId};

pub(crate) const SESSION: SessionId = SessionId(17);

pub(crate) fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        database: dir.join("db"),
        staging: dir.join("staging"),
        owner: "node-a life-1".to_owned(),
        limit_bytes: None,
        shares: MemoryShares::of(64 << 20),
        bulk_from_bytes: BULK_FROM_BYTES,
        syncing: LogSyncing::Synced,
    }
}

pub(crate) fn open(dir: &Path) -> Store {
    Store::open(&options(dir), Fatal::new()).unwrap()
}

pub(crate) fn at(stripe: u32, row: u32) -> Position {
    Position { stripe, row }
}

/// Bytes that do not compress and that tell rows and versions apart.
pub(crate) fn payload(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// One chunk as its client sees it.
pub(crate) struct Chunk {
    pub(crate) target: Target,
    pub(crate) cells: BTreeMap<Position, Frame>,
}

impl Chunk {
    pub(crate) fn new(sequence: u64) -> Self {
        Self::of_session(SESSION, sequence)
    }

    pub(crate) fn of_session(session: SessionId, sequence: u64) -> Self {
        let transaction = TransactionId { session, sequence };
        Self { target: Target { segment: SegmentId::generate(), transaction, chunk_index: 1 }, cells: BTreeMap::new() }
    }

    /// A cell of the chunk, remembered as the latest one of its place.
    pub(crate) fn cell(&mut self, position: Position, payload: &[u8]) -> Frame {
        let id = CellId {
            segment: *self.target.segment.as_bytes(),
            stripe: position.stripe,
            row: position.row,
            chunk: self.target.chunk_index,
        };
        let frame = Frame::from_payload(&id, payload);
        self.cells.insert(position, frame.clone());
        frame
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut digest = Digest::ZERO;
        for frame in self.cells.values() {
            digest.add(&frame.digest());
        }
        let length_bytes = self.cells.values().map(|frame| frame.payload_len() as u64).sum();
        Tally { cells: self.cells.len() as u64, length_bytes, digest }
    }

    pub(crate) async fn put(&self, store: &Store, frames: Vec<Frame>) -> Result<(), StoreError> {
        store.put(&self.target, frames, || Ok(())).await
    }

    /// Sends `rows` full rows of `stripe` from `first` on.
    pub(crate) async fn put_rows(&mut self, store: &Store, stripe: u32, first: u32, rows: u32, length: usize) {
        for row in first..first + rows {
            let frame = self.cell(at(stripe, row), &payload(u64::from(stripe) << 32 | u64::from(row), length));
            self.put(store, vec![frame]).await.unwrap();
        }
    }

    pub(crate) async fn seal(&self, store: &Store) -> Result<Tally, StoreError> {
        store.seal(&self.target, Vec::new(), &self.tally(), || Ok(())).await
    }

    pub(crate) fn sealed(&self, store: &Store) -> Result<Cells, StoreError> {
        let digest = self.tally().digest;
        store.sealed_cells(self.target.segment, self.target.chunk_index, digest.as_bytes())
    }

    /// Every cell reads back as it was sent last.
    pub(crate) fn assert_reads(&self, cells: &Cells) {
        for (position, frame) in &self.cells {
            let read = cells.read(*position).unwrap().unwrap_or_else(|| panic!("{position:?} is missing"));
            assert!(read.bytes() == frame.bytes(), "{position:?} differs");
        }
    }
}

/// Blocks that the files below `dir` take on the disk, in bytes.
pub(crate) fn allocated_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        // A file may go between listing and looking.
        let Ok(entry) = entry else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        sum += if metadata.is_dir() { allocated_bytes(&entry.path()) } else { metadata.blocks() * 512 };
    }
    sum
}
