//! What the file system needs of the store below it.

use std::future::Future;

use bytes::Bytes;
use cairn_codec::{Digest, Layout};
use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::records::{Attributes, Extent, Key, KeyEntry, Segment};

use crate::client::{BlobCommit, ClientError, ListPage, Precondition, WatchEvent};

/// Logical bytes of the cluster, after coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// What it can keep in its default layout.
    pub total_bytes: u64,
    /// What it can still take.
    pub free_bytes: u64,
    /// Keys in it.
    pub keys: u64,
}

/// Where the chunks of a blob are that nodes keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Names of the nodes, each once.
    pub nodes: Vec<String>,
    /// Its chunks.
    pub chunks: usize,
    /// Those that cannot be read now.
    pub unreadable: usize,
}

/// The store of blobs under the file system: the client of a cluster, or a model of it in tests.
pub trait BlobStore: Send + Sync + 'static {
    /// A segment being written.
    type Segment: OpenSegment;
    /// A committed blob open for reading.
    type Blob: OpenBlob;
    /// A watch of all keys.
    type Watch: StoreWatch;

    /// What `key` points at, if that is known without asking: it was said to this store, and a watch of it has told of no
    /// change since and goes on.
    fn known_entry(&self, key: &Key) -> Option<KeyEntry>;
    /// What `key` points at now.
    fn entry(&self, key: &Key) -> impl Future<Output = Result<Option<KeyEntry>, ClientError>> + Send;
    /// A snapshot of what `key` points at; its bytes stay readable while the answer lives.
    fn open(&self, key: &Key) -> impl Future<Output = Result<Option<Self::Blob>, ClientError>> + Send;
    /// Whether a key that exists cannot be written again.
    fn is_write_once(&self) -> impl Future<Output = Result<bool, ClientError>> + Send;
    /// Up to `limit` keys after `start_after`, in order.
    fn list(&self, start_after: Option<&Key>, limit: u32)
    -> impl Future<Output = Result<ListPage, ClientError>> + Send;
    /// Opens a transaction: checks the precondition, places a segment, reserves room. `None`: the default layout.
    fn begin(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> impl Future<Output = Result<Self::Segment, ClientError>> + Send;
    /// Makes a blob visible, durably.
    fn commit(&self, commit: BlobCommit) -> impl Future<Output = Result<KeyEntry, ClientError>> + Send;
    /// Gives up a sealed segment that is not going to be committed.
    fn discard(&self, sealed: &Segment) -> impl Future<Output = ()> + Send;
    /// Deletes a key.
    fn delete(&self, key: &Key) -> impl Future<Output = Result<(), ClientError>> + Send;
    /// Renames a key, atomically replacing `to` unless `no_replace`.
    fn rename(&self, from: &Key, to: &Key, no_replace: bool) -> impl Future<Output = Result<(), ClientError>> + Send;
    /// Sets the attributes of a key that must still point at `blob`.
    fn set_attributes(
        &self,
        key: &Key,
        blob: BlobId,
        attributes: Attributes,
    ) -> impl Future<Output = Result<KeyEntry, ClientError>> + Send;
    /// Room in the cluster.
    fn capacity(&self) -> impl Future<Output = Result<Capacity, ClientError>> + Send;
    /// Tells of every change of a key. No answer of the store is older than what was told.
    fn watch(&self) -> Self::Watch;
    /// Whether the command at `index` is known to be a change that was made through this store.
    fn made_change(&self, index: u64) -> bool;
}

/// A watch of all keys.
pub trait StoreWatch: Send + 'static {
    /// The next event, as long as it takes.
    fn next(&mut self) -> impl Future<Output = Result<WatchEvent, ClientError>> + Send;
}

/// One segment being written. Rows count from 0, may be sent in any order and again before the seal; at the
/// seal rows 0 to some n must have been sent, all but the last of them full.
pub trait OpenSegment: Send + 'static {
    /// How it is cut and coded.
    fn layout(&self) -> Layout;
    /// Its id.
    fn id(&self) -> SegmentId;
    /// Sends a row.
    fn write_row(&mut self, row: u64, data: Bytes) -> impl Future<Output = Result<(), ClientError>> + Send;
    /// Reads back the first `length` bytes of a row sent before.
    fn read_row(&mut self, row: u64, length: usize) -> impl Future<Output = Result<Bytes, ClientError>> + Send;
    /// Makes every row durable.
    fn seal(self) -> impl Future<Output = Result<Segment, ClientError>> + Send;
    /// Gives the segment up.
    fn abort(self) -> impl Future<Output = ()> + Send;
}

/// A committed blob open for reading.
pub trait OpenBlob: Send + Sync + 'static {
    /// What the key pointed at when the blob was opened.
    fn entry(&self) -> KeyEntry;
    /// Where its bytes are.
    fn extents(&self) -> Vec<Extent>;
    /// Layout of its extents; `None` for an empty blob.
    fn layout(&self) -> Option<Layout>;
    /// Where its chunks are.
    fn placement(&self) -> Placement;
    /// Sum of its rows' digests.
    fn digest(&self) -> Digest;
    /// The bytes of `[offset, offset + length)`, cut off at its end.
    fn read(&self, offset: u64, length: usize) -> impl Future<Output = Result<Bytes, ClientError>> + Send;
}
