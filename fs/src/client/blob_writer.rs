use bytes::{Bytes, BytesMut};
use cairn_codec::{Digest, Layout, row_digest};
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Extent, Key, KeyEntry};

use super::{BlobCommit, Client, ClientError, Precondition, SegmentWriter};

/// Writes a blob from front to back. Nothing is opened before the first byte; an empty blob touches no node.
/// Dropped without a commit it leaves nothing behind.
#[derive(Debug)]
pub struct BlobWriter {
    client: Client,
    key: Key,
    precondition: Precondition,
    layout: Option<Layout>,
    segment: Option<SegmentWriter>,
    row: BytesMut,
    rows: u64,
    size_bytes: u64,
    digest: Digest,
}

impl BlobWriter {
    pub(super) fn new(client: Client, key: Key, precondition: Precondition, layout: Option<Layout>) -> Self {
        let (row, digest) = (BytesMut::new(), Digest::ZERO);
        Self { client, key, precondition, layout, segment: None, row, rows: 0, size_bytes: 0, digest }
    }

    /// Appends bytes.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ClientError> {
        while !bytes.is_empty() {
            let row_size = self.begun().await?.layout().row_size_bytes();
            let (taken, rest) = bytes.split_at(bytes.len().min(row_size - self.row.len()));
            self.row.extend_from_slice(taken);
            self.size_bytes += taken.len() as u64;
            bytes = rest;
            if self.row.len() == row_size {
                self.send_row().await?;
            }
        }
        Ok(())
    }

    /// Bytes written so far.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Seals and makes the blob visible.
    pub async fn commit(mut self, attributes: Attributes) -> Result<KeyEntry, ClientError> {
        if !self.row.is_empty() {
            self.send_row().await?;
        }
        let sealed = match self.segment.take() {
            Some(segment) => Some(segment.seal().await?),
            None => None,
        };
        let extent = |segment: &cairn_proto::records::Segment| Extent {
            segment: segment.id,
            first_row: 0,
            rows: self.rows,
            length_bytes: self.size_bytes,
        };
        let commit = BlobCommit {
            key: self.key,
            precondition: self.precondition,
            blob: BlobId::generate(),
            extents: sealed.iter().map(extent).collect(),
            sealed,
            size_bytes: self.size_bytes,
            digest: self.digest,
            attributes,
            writer_killed_by_signal: 0,
        };
        self.client.commit(commit).await
    }

    /// Gives up what was written.
    pub async fn abort(self) {
        if let Some(segment) = self.segment {
            segment.abort().await;
        }
    }

    async fn begun(&mut self) -> Result<&mut SegmentWriter, ClientError> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.client.begin(&self.key, self.precondition, self.layout).await?,
        };
        Ok(self.segment.insert(segment))
    }

    async fn send_row(&mut self) -> Result<(), ClientError> {
        let row: Bytes = self.row.split().freeze();
        self.digest.add(&row_digest(self.rows, &row));
        let number = self.rows;
        self.begun().await?.write_row(number, row).await?;
        self.rows += 1;
        Ok(())
    }
}
