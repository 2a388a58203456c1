//! A store in memory for tests: it checks what a cluster would check, and fails where it is told to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use cairn_codec::{Digest, Layout, row_digest};
use cairn_proto::ids::{BlobId, SegmentId, SessionId, TransactionId};
use cairn_proto::records::{Attributes, Chunk, Extent, Key, KeyEntry, Segment};
use cairn_proto::wire;
use parking_lot::Mutex;

use super::blob_store::{BlobStore, Capacity, OpenBlob, OpenSegment, Placement};
use super::fake_watch::{FakeWatch, FakeWatches};
use crate::client::{BlobCommit, ClientError, ListPage, Precondition, WatchEvent};

/// What a fault can be put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Call {
    Entry,
    Open,
    List,
    Begin,
    Commit,
    Delete,
    Rename,
    SetAttributes,
    WriteRow,
    ReadRow,
    Seal,
    Read,
}

/// A store in memory. Clones share it, as mounts share a cluster.
#[derive(Clone)]
pub(crate) struct FakeStore(Arc<Mutex<State>>);

struct State {
    layout: Layout,
    keys: BTreeMap<Key, (KeyEntry, Arc<Stored>)>,
    segments: HashMap<SegmentId, Arc<Vec<Bytes>>>,
    next_serial: u64,
    next_sequence: u64,
    faults: Vec<(Call, ClientError)>,
    /// Of commits that are carried out.
    lost_answers: Vec<ClientError>,
    calls: BTreeMap<Call, usize>,
    open_segments: usize,
    write_once: bool,
    watches: FakeWatches,
    known: BTreeMap<Key, KeyEntry>,
    knows_opened: bool,
}

/// A committed blob.
struct Stored {
    extents: Vec<Extent>,
    digest: Digest,
    bytes: Bytes,
    killed_by: u32,
}

pub(crate) struct FakeSegment {
    store: FakeStore,
    id: SegmentId,
    layout: Layout,
    transaction: TransactionId,
    rows: BTreeMap<u64, Bytes>,
}

pub(crate) struct FakeBlob {
    store: FakeStore,
    entry: KeyEntry,
    stored: Arc<Stored>,
}

impl FakeStore {
    pub(crate) fn new(layout: Layout) -> Self {
        Self(Arc::new(Mutex::new(State {
            layout,
            keys: BTreeMap::new(),
            segments: HashMap::new(),
            next_serial: 1,
            next_sequence: 1,
            faults: Vec::new(),
            lost_answers: Vec::new(),
            calls: BTreeMap::new(),
            open_segments: 0,
            write_once: false,
            watches: FakeWatches::default(),
            known: BTreeMap::new(),
            knows_opened: false,
        })))
    }

    /// From now on, no key that exists can be written again.
    pub(crate) fn write_once(&self) {
        self.0.lock().write_once = true;
    }

    /// All who watch are told of it.
    pub(crate) fn tell(&self, event: &Result<WatchEvent, ClientError>) {
        self.0.lock().watches.tell(event);
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        !self.0.lock().watches.is_empty()
    }

    /// The command at `index` was made through this store.
    pub(crate) fn own_change(&self, index: u64) {
        self.0.lock().watches.own_changes.push(index);
    }

    /// What `key` points at now is known from now on without asking, or not any more.
    pub(crate) fn know(&self, key: &str, is_known: bool) {
        let (mut state, key) = (self.0.lock(), key_of(key));
        state.known.remove(&key);
        if is_known {
            let (entry, _) = state.keys[&key];
            state.known.insert(key, entry);
        }
    }

    /// What is opened is known from then on without asking.
    pub(crate) fn know_what_is_opened(&self) {
        self.0.lock().knows_opened = true;
    }

    /// The next such call fails.
    pub(crate) fn fail_next(&self, call: Call, error: ClientError) {
        self.0.lock().faults.push((call, error));
    }

    /// The next commit is carried out, and its answer does not come.
    pub(crate) fn lose_answer_of_commit(&self, error: ClientError) {
        self.0.lock().lost_answers.push(error);
    }

    /// Whether each fault was met.
    pub(crate) fn all_faults_met(&self) -> bool {
        let state = self.0.lock();
        state.faults.is_empty() && state.lost_answers.is_empty()
    }

    /// Calls so far.
    pub(crate) fn calls(&self, call: Call) -> usize {
        self.0.lock().calls.get(&call).copied().unwrap_or(0)
    }

    /// Segments that were begun and neither sealed nor given up.
    pub(crate) fn open_segments(&self) -> usize {
        self.0.lock().open_segments
    }

    /// What everybody else reads under `key`.
    pub(crate) fn bytes(&self, key: &str) -> Option<Bytes> {
        self.0.lock().keys.get(&key_of(key)).map(|(_, stored)| stored.bytes.clone())
    }

    pub(crate) fn attributes(&self, key: &str) -> Option<Attributes> {
        self.0.lock().keys.get(&key_of(key)).map(|(entry, _)| entry.attributes)
    }

    pub(crate) fn extents(&self, key: &str) -> Vec<Extent> {
        self.0.lock().keys.get(&key_of(key)).map(|(_, stored)| stored.extents.clone()).unwrap_or_default()
    }

    pub(crate) fn killed_by(&self, key: &str) -> Option<u32> {
        self.0.lock().keys.get(&key_of(key)).map(|(_, stored)| stored.killed_by)
    }

    /// Puts a whole file there, as another mount does.
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        let mut state = self.0.lock();
        let layout = state.layout;
        let id = SegmentId::generate();
        let rows: Vec<Bytes> = bytes.chunks(layout.row_size_bytes()).map(Bytes::copy_from_slice).collect();
        let mut digest = Digest::ZERO;
        rows.iter().enumerate().for_each(|(row, bytes)| digest.add(&row_digest(row as u64, bytes)));
        let extent = Extent { segment: id, first_row: 0, rows: rows.len() as u64, length_bytes: bytes.len() as u64 };
        let extents = if bytes.is_empty() { Vec::new() } else { vec![extent] };
        state.segments.insert(id, Arc::new(rows));
        let stored = Stored { extents, digest, bytes: Bytes::copy_from_slice(bytes), killed_by: 0 };
        let attributes = Attributes { mode: 0o644, ..Attributes::default() };
        state.publish(key_of(key), BlobId::generate(), stored, attributes);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.0.lock().keys.remove(&key_of(key));
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.0.lock().keys.keys().map(ToString::to_string).collect()
    }

    fn call(&self, call: Call) -> Result<(), ClientError> {
        let mut state = self.0.lock();
        *state.calls.entry(call).or_default() += 1;
        match state.faults.iter().position(|(at, _)| *at == call) {
            Some(fault) => Err(state.faults.remove(fault).1),
            None => Ok(()),
        }
    }
}

fn key_of(key: &str) -> Key {
    Key::try_from(key).unwrap()
}

impl State {
    fn check(&self, key: &Key, precondition: Precondition) -> Result<(), ClientError> {
        let now = self.keys.get(key).map(|(entry, _)| entry.blob);
        let name = key.to_string();
        match precondition {
            Precondition::Absent | Precondition::None if self.write_once && now.is_some() => {
                Err(ClientError::KeyExists { key: name })
            }
            Precondition::Absent if now.is_some() => Err(ClientError::KeyExists { key: name }),
            Precondition::Blob(_) if now.is_none() => Err(ClientError::KeyNotFound { key: name }),
            Precondition::Blob(blob) if now != Some(blob) => Err(ClientError::KeyChanged { key: name }),
            _ => Ok(()),
        }
    }

    /// The bytes that the extents name, with all that a cluster demands of them.
    fn gather(&self, commit: &BlobCommit) -> Bytes {
        let row_size = self.layout.row_size_bytes();
        assert!(commit.extents.len() <= 64, "too many extents");
        let mut bytes = BytesMut::new();
        let mut digest = Digest::ZERO;
        for (index, extent) in commit.extents.iter().enumerate() {
            let segment = self.segments.get(&extent.segment).expect("an extent names a sealed segment");
            let mut left = usize::try_from(extent.length_bytes).unwrap();
            if index + 1 < commit.extents.len() {
                assert_eq!(left, row_size * usize::try_from(extent.rows).unwrap(), "only the last row is part-filled");
            }
            assert_eq!(left.div_ceil(row_size) as u64, extent.rows, "rows and bytes agree");
            for row in extent.first_row..extent.first_row + extent.rows {
                let length = left.min(row_size);
                let stored = segment[usize::try_from(row).unwrap()].slice(..length);
                digest.add(&row_digest((bytes.len() / row_size) as u64, &stored));
                bytes.extend_from_slice(&stored);
                left -= length;
            }
        }
        assert_eq!(bytes.len() as u64, commit.size_bytes, "the size is the sum of the extents");
        assert_eq!(digest, commit.digest, "the digest is the sum over the rows");
        bytes.freeze()
    }

    fn publish(&mut self, key: Key, blob: BlobId, stored: Stored, attributes: Attributes) -> KeyEntry {
        let size_bytes = stored.bytes.len() as u64;
        let entry = KeyEntry { blob, serial: self.next_serial, size_bytes, attributes };
        self.next_serial += 1;
        self.keys.insert(key, (entry, Arc::new(stored)));
        entry
    }
}

impl BlobStore for FakeStore {
    type Segment = FakeSegment;
    type Blob = FakeBlob;
    type Watch = FakeWatch;

    fn known_entry(&self, key: &Key) -> Option<KeyEntry> {
        self.0.lock().known.get(key).copied()
    }

    async fn entry(&self, key: &Key) -> Result<Option<KeyEntry>, ClientError> {
        self.call(Call::Entry)?;
        Ok(self.0.lock().keys.get(key).map(|(entry, _)| *entry))
    }

    async fn open(&self, key: &Key) -> Result<Option<FakeBlob>, ClientError> {
        self.call(Call::Open)?;
        let mut state = self.0.lock();
        let found = state.keys.get(key).cloned();
        if let Some((entry, _)) = found.as_ref().filter(|_| state.knows_opened) {
            state.known.insert(key.clone(), *entry);
        }
        Ok(found.map(|(entry, stored)| FakeBlob { store: self.clone(), entry, stored }))
    }

    async fn is_write_once(&self) -> Result<bool, ClientError> {
        Ok(self.0.lock().write_once)
    }

    async fn list(&self, start_after: Option<&Key>, limit: u32) -> Result<ListPage, ClientError> {
        self.call(Call::List)?;
        let state = self.0.lock();
        let behind = |key: &Key| start_after.is_none_or(|after| key > after);
        let mut keys: Vec<_> = state.keys.iter().filter(|(key, _)| behind(key)).collect();
        let more = keys.len() > limit as usize;
        keys.truncate(limit as usize);
        let continue_after = if more { keys.last().map(|(key, _)| (*key).clone()) } else { None };
        Ok(ListPage { keys: keys.into_iter().map(|(key, (entry, _))| (key.clone(), *entry)).collect(), continue_after })
    }

    async fn begin(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<FakeSegment, ClientError> {
        self.call(Call::Begin)?;
        // Others get a turn, as they do while a master is asked.
        tokio::task::yield_now().await;
        let mut state = self.0.lock();
        state.check(key, precondition)?;
        state.next_sequence += 1;
        state.open_segments += 1;
        Ok(FakeSegment {
            store: self.clone(),
            id: SegmentId::generate(),
            layout: layout.unwrap_or(state.layout),
            transaction: TransactionId { session: SessionId(1), sequence: state.next_sequence },
            rows: BTreeMap::new(),
        })
    }

    async fn commit(&self, commit: BlobCommit) -> Result<KeyEntry, ClientError> {
        self.call(Call::Commit)?;
        tokio::task::yield_now().await;
        let mut state = self.0.lock();
        state.check(&commit.key, commit.precondition)?;
        let bytes = state.gather(&commit);
        let stored =
            Stored { extents: commit.extents, digest: commit.digest, bytes, killed_by: commit.writer_killed_by_signal };
        let entry = state.publish(commit.key, commit.blob, stored, commit.attributes);
        state.lost_answers.pop().map_or(Ok(entry), Err)
    }

    async fn discard(&self, sealed: &Segment) {
        self.0.lock().segments.remove(&sealed.id);
    }

    async fn delete(&self, key: &Key) -> Result<(), ClientError> {
        self.call(Call::Delete)?;
        let removed = self.0.lock().keys.remove(key);
        removed.map(drop).ok_or_else(|| ClientError::KeyNotFound { key: key.to_string() })
    }

    async fn rename(&self, from: &Key, to: &Key, no_replace: bool) -> Result<(), ClientError> {
        self.call(Call::Rename)?;
        let mut state = self.0.lock();
        if !state.keys.contains_key(from) {
            return Err(ClientError::KeyNotFound { key: from.to_string() });
        }
        if no_replace || state.write_once {
            state.check(to, Precondition::Absent)?;
        }
        let moved = state.keys.remove(from).unwrap();
        state.keys.insert(to.clone(), moved);
        Ok(())
    }

    async fn set_attributes(&self, key: &Key, blob: BlobId, attributes: Attributes) -> Result<KeyEntry, ClientError> {
        self.call(Call::SetAttributes)?;
        let mut state = self.0.lock();
        state.check(key, Precondition::Blob(blob))?;
        let (entry, _) = state.keys.get_mut(key).unwrap();
        entry.attributes = attributes;
        Ok(*entry)
    }

    async fn capacity(&self) -> Result<Capacity, ClientError> {
        let state = self.0.lock();
        let used: u64 = state.keys.values().map(|(entry, _)| entry.size_bytes).sum();
        Ok(Capacity { total_bytes: 1 << 30, free_bytes: (1 << 30) - used, keys: state.keys.len() as u64 })
    }

    fn watch(&self) -> FakeWatch {
        self.0.lock().watches.watch()
    }

    fn made_change(&self, index: u64) -> bool {
        self.0.lock().watches.own_changes.contains(&index)
    }
}

impl OpenSegment for FakeSegment {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn id(&self) -> SegmentId {
        self.id
    }

    async fn write_row(&mut self, row: u64, data: Bytes) -> Result<(), ClientError> {
        self.store.call(Call::WriteRow)?;
        tokio::task::yield_now().await;
        assert!(!data.is_empty() && data.len() <= self.layout.row_size_bytes());
        let mut kept = BytesMut::from(&data[..]);
        if let Some(old) = self.rows.get(&row).filter(|old| old.len() > data.len()) {
            kept.resize(old.len(), 0);
        }
        self.rows.insert(row, kept.freeze());
        Ok(())
    }

    async fn read_row(&mut self, row: u64, length: usize) -> Result<Bytes, ClientError> {
        self.store.call(Call::ReadRow)?;
        tokio::task::yield_now().await;
        Ok(self.rows.get(&row).expect("the row was sent").slice(..length))
    }

    async fn seal(mut self) -> Result<Segment, ClientError> {
        self.store.call(Call::Seal)?;
        let rows = std::mem::take(&mut self.rows);
        let count = rows.len() as u64;
        assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (0..count).collect::<Vec<_>>(), "rows without a gap");
        let full = self.layout.row_size_bytes();
        assert!(
            rows.iter().all(|(row, bytes)| *row + 1 == count || bytes.len() == full),
            "only the last is part-filled"
        );
        let length_bytes = rows.values().map(|bytes| bytes.len() as u64).sum();
        self.store.0.lock().segments.insert(self.id, Arc::new(rows.into_values().collect()));
        Ok(Segment {
            id: self.id,
            layout: wire::Layout {
                data: u32::try_from(self.layout.data()).unwrap(),
                code: u32::try_from(self.layout.code()).unwrap(),
                cell_size_bytes: u32::try_from(self.layout.cell_size_bytes()).unwrap(),
                stripe_size_bytes: self.layout.stripe_size_bytes(),
            },
            length_bytes,
            chunks: vec![Chunk::default(); self.layout.chunks()],
            contents: None,
            uses: 0,
            version: 0,
            transaction: self.transaction,
        })
    }

    async fn abort(self) {}
}

impl Drop for FakeSegment {
    fn drop(&mut self) {
        self.store.0.lock().open_segments -= 1;
    }
}

impl OpenBlob for FakeBlob {
    fn entry(&self) -> KeyEntry {
        self.entry
    }

    fn extents(&self) -> Vec<Extent> {
        self.stored.extents.clone()
    }

    fn layout(&self) -> Option<Layout> {
        (!self.stored.extents.is_empty()).then(|| self.store.0.lock().layout)
    }

    fn placement(&self) -> Placement {
        let chunks = self.layout().map_or(0, |layout| layout.chunks());
        Placement { nodes: (1..=chunks).map(|node| format!("node-{node}")).collect(), chunks, unreadable: 0 }
    }

    fn digest(&self) -> Digest {
        self.stored.digest
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes, ClientError> {
        self.store.call(Call::Read)?;
        tokio::task::yield_now().await;
        let size = self.stored.bytes.len();
        let start = usize::try_from(offset).unwrap().min(size);
        Ok(self.stored.bytes.slice(start..(start + length).min(size)))
    }
}
