//! The client library as the store under the file system.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{Digest, Layout};
use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::records::{Attributes, Chunk, Extent, Key, KeyEntry, Segment};

use super::blob_store::{BlobStore, Capacity, OpenBlob, OpenSegment, Placement, StoreWatch};
use crate::client::{
    BlobCommit, BlobReader, Client, ClientError, FoundBlob, KeyWatch, ListPage, Precondition, SegmentWriter, WatchEvent,
};

/// A committed blob and the reader of one handle.
pub struct ClientBlob {
    found: Arc<FoundBlob>,
    reader: BlobReader,
}

impl BlobStore for Client {
    type Segment = SegmentWriter;
    type Blob = ClientBlob;
    type Watch = KeyWatch;

    fn known_entry(&self, key: &Key) -> Option<KeyEntry> {
        Client::known_entry(self, key)
    }

    async fn entry(&self, key: &Key) -> Result<Option<KeyEntry>, ClientError> {
        Client::entry(self, key).await
    }

    async fn open(&self, key: &Key) -> Result<Option<ClientBlob>, ClientError> {
        let Some(found) = self.look_up(key).await? else { return Ok(None) };
        let found = Arc::new(found);
        Ok(Some(ClientBlob { reader: self.reader(found.clone()), found }))
    }

    async fn is_write_once(&self) -> Result<bool, ClientError> {
        Client::is_write_once(self).await
    }

    async fn list(&self, start_after: Option<&Key>, limit: u32) -> Result<ListPage, ClientError> {
        Client::list(self, "", start_after, limit).await
    }

    async fn begin(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<SegmentWriter, ClientError> {
        Client::begin(self, key, precondition, layout).await
    }

    async fn commit(&self, commit: BlobCommit) -> Result<KeyEntry, ClientError> {
        Client::commit(self, commit).await
    }

    async fn discard(&self, sealed: &Segment) {
        Client::discard(self, sealed).await;
    }

    async fn delete(&self, key: &Key) -> Result<(), ClientError> {
        Client::delete(self, key, Precondition::None).await
    }

    async fn rename(&self, from: &Key, to: &Key, no_replace: bool) -> Result<(), ClientError> {
        Client::rename(self, from, to, no_replace).await
    }

    async fn set_attributes(&self, key: &Key, blob: BlobId, attributes: Attributes) -> Result<KeyEntry, ClientError> {
        Client::set_attributes(self, key, blob, attributes).await
    }

    async fn capacity(&self) -> Result<Capacity, ClientError> {
        let status = self.status().await?;
        Ok(Capacity { total_bytes: status.total_bytes, free_bytes: status.free_bytes, keys: status.keys })
    }

    fn watch(&self) -> KeyWatch {
        Client::watch(self, "")
    }

    fn made_change(&self, index: u64) -> bool {
        Client::made_change(self, index)
    }
}

impl StoreWatch for KeyWatch {
    async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        KeyWatch::next(self).await
    }
}

impl OpenSegment for SegmentWriter {
    fn layout(&self) -> Layout {
        *SegmentWriter::layout(self)
    }

    fn id(&self) -> SegmentId {
        self.segment()
    }

    async fn write_row(&mut self, row: u64, data: Bytes) -> Result<(), ClientError> {
        SegmentWriter::write_row(self, row, data).await
    }

    async fn read_row(&mut self, row: u64, length: usize) -> Result<Bytes, ClientError> {
        SegmentWriter::read_row(self, row, length).await
    }

    async fn seal(self) -> Result<Segment, ClientError> {
        SegmentWriter::seal(self).await
    }

    async fn abort(self) {
        SegmentWriter::abort(self).await;
    }
}

impl OpenBlob for ClientBlob {
    fn entry(&self) -> KeyEntry {
        *self.found.entry()
    }

    fn extents(&self) -> Vec<Extent> {
        self.found.blob().extents.clone()
    }

    fn layout(&self) -> Option<Layout> {
        self.found.layout().copied()
    }

    fn placement(&self) -> Placement {
        let on_nodes = self.found.segments().iter().filter(|segment| segment.contents.is_none());
        let chunks: Vec<&Chunk> = on_nodes.flat_map(|segment| &segment.chunks).collect();
        let places = chunks.iter().filter_map(|chunk| self.found.node(chunk.place?.node));
        let nodes: BTreeSet<String> = places.map(|node| node.name.clone()).collect();
        let unreadable = chunks.iter().filter(|chunk| !self.found.chunk_state(chunk).can_be_read()).count();
        Placement { nodes: nodes.into_iter().collect(), chunks: chunks.len(), unreadable }
    }

    fn digest(&self) -> Digest {
        Digest::from_bytes(self.found.blob().digest)
    }

    async fn read(&self, offset: u64, length: usize) -> Result<Bytes, ClientError> {
        self.reader.read(offset, length).await
    }
}
