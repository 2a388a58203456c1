//! The client library: talks to masters and storage nodes, knows nothing of mounts. See `DESIGN.md`.

mod administration;
mod avoidance;
mod backoff;
mod blob_commit;
mod blob_reader;
mod blob_view;
mod blob_writer;
mod cell_fetch;
mod cell_slot;
mod cell_stream;
mod chunk_account;
mod chunk_check;
mod chunk_messages;
mod chunk_request;
mod chunk_state;
mod connection;
mod error;
mod found_blob;
mod inspection;
mod key_watch;
mod known_keys;
mod locality;
mod lost_targets;
mod master_ring;
mod masters;
mod memory_budget;
mod node_administration;
mod nodes;
mod open_segments;
mod opened_ahead;
mod options;
mod outgoing;
mod own_changes;
mod precondition;
mod read_ahead;
mod relaying;
mod request_slots;
mod row_encoder;
mod row_gather;
mod segment_writer;
mod sent_rows;
mod session;
mod sessions;
mod target;
mod target_sender;
mod target_state;
mod target_stream;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod transactions;
mod transport;
mod unsealed_row;
mod values;
mod wire_layout;

use std::sync::Arc;

use cairn_codec::Layout;
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Key, KeyEntry, Segment};
use cairn_proto::wire;

pub use blob_commit::BlobCommit;
pub use blob_reader::{BlobReader, VerifiedRows};
pub use blob_writer::BlobWriter;
pub use chunk_check::ChunkFault;
pub use chunk_state::ChunkState;
pub use error::ClientError;
pub use found_blob::FoundBlob;
pub use inspection::Inspection;
pub use key_watch::{KeyWatch, WatchEvent};
pub use options::ClientOptions;
pub use precondition::Precondition;
pub use segment_writer::SegmentWriter;

use connection::Connection;
use found_blob::checked_entry;
use masters::{Call, CallKind};

/// One page of a listing, in key order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// Keys and what they point at.
    pub keys: Vec<(Key, KeyEntry)>,
    /// Where the next page starts; `None` at the end.
    pub continue_after: Option<Key>,
}

/// A connection to a cluster, cheap to clone. All clones share one session, one set of node
/// connections, one write budget and one cell cache.
#[derive(Debug, Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Finds the elected master. No session is opened before one is needed.
    pub async fn connect(options: ClientOptions) -> Result<Self, ClientError> {
        let connection = Connection::open(options).await?;
        // Any key will do: what counts is that an elected master answers.
        let probe = wire::ListRequest { limit: 1, ..wire::ListRequest::default() };
        let answer = connection.ask("connect to the cluster", |mut master| {
            let probe = probe.clone();
            async move { master.list(probe).await }
        });
        let applied_index = answer.await?.applied_index;
        connection.open_segments.see(applied_index);
        Ok(Self { connection })
    }

    /// Ends the session. Segments still being written are aborted.
    pub async fn close(self) {
        self.connection.sessions.close().await;
    }

    /// What `key` points at now.
    pub async fn entry(&self, key: &Key) -> Result<Option<KeyEntry>, ClientError> {
        let request = wire::LookUpRequest {
            target: Some(wire::look_up_request::Target::Key(key.as_str().to_owned())),
            min_applied_index: self.connection.open_segments.applied_index(),
            entry_only: true,
        };
        let answer = self.connection.ask("look up the key", |mut master| {
            let request = request.clone();
            async move { master.look_up(request).await }
        });
        let Some(answer) = found(answer.await)? else {
            self.connection.known_keys.doubt(key);
            return Ok(None);
        };
        self.connection.open_segments.see(answer.applied_index);
        let (_, entry) = checked_entry(key.as_str(), answer.entry)?;
        self.connection.known_keys.learn(key, answer.applied_index, entry);
        Ok(Some(entry))
    }

    /// What `key` points at, if this client knows without asking: a master said so to it, and a [`KeyWatch`] of all keys
    /// has told of no change since and goes on. Never older than what that watch was told.
    pub fn known_entry(&self, key: &Key) -> Option<KeyEntry> {
        self.connection.known_keys.get(key)
    }

    /// What `key` points at, with all that reading it takes. While the answer lives, its segments
    /// are reported to the masters as open, so that they are not collected.
    pub async fn look_up(&self, key: &Key) -> Result<Option<FoundBlob>, ClientError> {
        found(self.connection.look_up_key(key).await)
    }

    /// Keys that match the shell pattern (empty: all), in order.
    pub async fn list(&self, pattern: &str, start_after: Option<&Key>, limit: u32) -> Result<ListPage, ClientError> {
        let request = wire::ListRequest {
            pattern: pattern.to_owned(),
            start_after: start_after.map(|key| key.as_str().to_owned()).unwrap_or_default(),
            limit,
            min_applied_index: self.connection.open_segments.applied_index(),
        };
        let answer = self.connection.overview("list keys", |mut master| {
            let request = request.clone();
            async move { master.list(request).await }
        });
        let answer = answer.await?;
        self.connection.open_segments.see(answer.applied_index);
        let keys = answer.keys.into_iter().map(|listed| checked_entry(&listed.key, listed.entry));
        let more = (!answer.continue_after.is_empty()).then_some(answer.continue_after);
        let more = more.map(Key::try_from).transpose().map_err(|error| ClientError::protocol("master", error))?;
        Ok(ListPage { keys: keys.collect::<Result<_, _>>()?, continue_after: more })
    }

    /// Deletes a key.
    pub async fn delete(&self, key: &Key, precondition: Precondition) -> Result<(), ClientError> {
        let request =
            wire::DeleteRequest { request: None, key: key.as_str().to_owned(), precondition: precondition.to_wire() };
        let answer = self.connection.mutate("delete the key", |mut master, id| {
            let request = wire::DeleteRequest { request: Some(id), ..request.clone() };
            async move { master.delete(request).await }
        });
        let applied_index = self.connection.or_doubted(&[key], answer.await)?.applied_index;
        self.connection.changed(applied_index);
        self.connection.known_keys.change(key, applied_index);
        Ok(())
    }

    /// Renames a key, atomically replacing `to` unless `no_replace`.
    pub async fn rename(&self, from: &Key, to: &Key, no_replace: bool) -> Result<(), ClientError> {
        let keys = [from, to];
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        let request = wire::RenameRequest { request: None, from, to, no_replace };
        let answer = self.connection.mutate("rename the key", |mut master, id| {
            let request = wire::RenameRequest { request: Some(id), ..request.clone() };
            async move { master.rename(request).await }
        });
        let applied_index = self.connection.or_doubted(&keys, answer.await)?.applied_index;
        self.connection.changed(applied_index);
        for key in keys {
            self.connection.known_keys.change(key, applied_index);
        }
        Ok(())
    }

    /// Sets the attributes of a key that must still point at `blob`.
    pub async fn set_attributes(
        &self,
        key: &Key,
        blob: BlobId,
        attributes: Attributes,
    ) -> Result<KeyEntry, ClientError> {
        let request = wire::SetAttributesRequest {
            request: None,
            key: key.as_str().to_owned(),
            blob: blob.to_wire(),
            attributes: Some(attributes.into()),
        };
        let answer = self.connection.mutate("set the attributes", |mut master, id| {
            let request = wire::SetAttributesRequest { request: Some(id), ..request.clone() };
            async move { master.set_attributes(request).await }
        });
        let answer = self.connection.or_doubted(&[key], answer.await)?;
        self.connection.changed_to(key, answer.applied_index, answer.entry)
    }

    /// The cluster as the elected master sees it.
    pub async fn status(&self) -> Result<wire::GetStatusResponse, ClientError> {
        self.connection
            .overview("get the status", |mut master| async move { master.get_status(wire::GetStatusRequest {}).await })
            .await
    }

    /// What is missing, and how its rebuilding goes.
    pub async fn heal_status(&self) -> Result<wire::GetHealStatusResponse, ClientError> {
        let request = wire::GetHealStatusRequest {};
        self.connection
            .overview("get the state of repairs", |mut master| async move { master.get_heal_status(request).await })
            .await
    }

    /// Has all that is missing looked for and rebuilt at once.
    pub async fn start_healing(&self) -> Result<wire::StartHealingResponse, ClientError> {
        let request = wire::StartHealingRequest {};
        self.connection.overview("start repairs", |mut master| async move { master.start_healing(request).await }).await
    }

    /// How each node verifies what it keeps.
    pub async fn scrub_status(&self) -> Result<wire::GetScrubStatusResponse, ClientError> {
        let request = wire::GetScrubStatusRequest {};
        self.connection
            .overview("get the state of scrubs", |mut master| async move { master.get_scrub_status(request).await })
            .await
    }

    /// Has nodes verify all that they keep: those of these names or ids, or all that serve.
    pub async fn start_scrubs(
        &self,
        nodes: Vec<String>,
        bytes_per_second: u64,
    ) -> Result<wire::StartScrubsResponse, ClientError> {
        let request = wire::StartScrubsRequest { nodes, bytes_per_second };
        self.connection
            .overview("start scrubs", |mut master| {
                let request = request.clone();
                async move { master.start_scrubs(request).await }
            })
            .await
    }

    /// Who is elected, as any master that answers knows it.
    pub async fn leader(&self) -> Result<wire::GetLeaderResponse, ClientError> {
        let call = Call { what: "ask who is elected", deadline: self.connection.deadline(), kind: CallKind::Overview };
        let masters = &self.connection.masters;
        masters.ask_any(call, |mut master| async move { master.get_leader(wire::GetLeaderRequest {}).await }).await
    }

    /// The layout of blobs that name none: the client's own, else the cluster's. Opens the session.
    pub async fn default_layout(&self) -> Result<Layout, ClientError> {
        if let Some(layout) = self.connection.options.layout {
            return Ok(layout);
        }
        let session = self.connection.sessions.current(self.connection.deadline()).await?;
        Ok(session.default_layout())
    }

    /// Whether a key that exists cannot be written again, as the masters said when the session was opened. Opens the
    /// session.
    pub async fn is_write_once(&self) -> Result<bool, ClientError> {
        let session = self.connection.sessions.current(self.connection.deadline()).await?;
        Ok(session.is_write_once())
    }

    /// Opens a transaction: checks the precondition, places a segment, reserves room.
    /// `layout`: `None` for [`Client::default_layout`].
    pub async fn begin(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<SegmentWriter, ClientError> {
        self.connection.begin(key, precondition, layout).await
    }

    /// Makes a blob visible. Whatever the result, the transaction of `commit.sealed` is over.
    pub async fn commit(&self, commit: BlobCommit) -> Result<KeyEntry, ClientError> {
        self.connection.commit(commit).await
    }

    /// Gives up a segment that was sealed and is not going to be committed.
    pub async fn discard(&self, sealed: &Segment) {
        self.connection.discard(sealed.transaction).await;
    }

    /// Reads a blob. Read-ahead state is the reader's own, so take one for each open handle.
    pub fn reader(&self, blob: Arc<FoundBlob>) -> BlobReader {
        BlobReader::new(Arc::clone(&self.connection), blob)
    }

    /// Writes a blob from front to back.
    pub fn writer(&self, key: Key, precondition: Precondition, layout: Option<Layout>) -> BlobWriter {
        BlobWriter::new(self.clone(), key, precondition, layout)
    }
}

/// A key or blob that is not there is an answer, not a failure.
fn found<T>(answer: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(ClientError::KeyNotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
