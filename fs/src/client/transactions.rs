//! The life of a write at the masters: opened, committed or given up.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;
use cairn_codec::Layout;
use cairn_proto::ids::{NodeId, SegmentId, TransactionId};
use cairn_proto::records::{Key, KeyEntry, Node};
use cairn_proto::{Refusal, wire};
use tokio::time::Instant;

use super::connection::Connection;
use super::found_blob::checked_entry;
use super::masters::{Call, CallError};
use super::session::{OpenTransaction, Session};
use super::target::Target;
use super::{BlobCommit, ClientError, Precondition, SegmentWriter, wire_layout};

/// How long the masters are asked to forget a transaction; otherwise it ends with its session.
const ABORT_DEADLINE: Duration = Duration::from_secs(3);
const PEER: &str = "master";

impl Connection {
    pub(super) async fn begin(
        self: &Arc<Self>,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<SegmentWriter, ClientError> {
        let (session, id, answer) = self.open_transaction(key, precondition, layout).await?;
        let (coder_layout, segment, targets) = self.check_opened(&answer, id)?;
        let transaction = Arc::new(OpenTransaction {
            id,
            segment,
            nodes: targets.iter().flatten().map(|target| target.node).collect(),
            key: key.clone(),
            exclusive: precondition == Precondition::Absent,
            sent_bytes_per_node: AtomicU64::new(0),
        });
        session.add(Arc::clone(&transaction));
        let coder = self.coder(coder_layout);
        Ok(SegmentWriter::new(Arc::clone(self), session, transaction, coder, targets))
    }

    /// In a new session if the one there was has expired: nothing was written in it yet.
    async fn open_transaction(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<(Arc<Session>, TransactionId, wire::OpenTransactionResponse), ClientError> {
        const WHAT: &str = "open the key for writing";
        let call = Call { what: WHAT, deadline: self.deadline(), mutates: false };
        loop {
            let session = self.sessions.current(call.deadline).await?;
            let id = session.next_transaction();
            let request = wire::OpenTransactionRequest {
                transaction: Some(id.into()),
                key: key.as_str().to_owned(),
                precondition: precondition.to_wire(),
                layout: layout.or(self.options.layout).map(|layout| wire_layout::to_wire(&layout)),
                avoid_nodes: self.nodes.avoided_for_writing().into_iter().map(NodeId::to_wire).collect(),
            };
            let answer = self.masters.call(call, |mut master| {
                let request = request.clone();
                async move { master.open_transaction(request).await }
            });
            match answer.await {
                Ok(answer) => return Ok((session, id, answer)),
                Err(CallError::Refused { refusal: Refusal::SessionExpired { .. }, .. })
                    if Instant::now() < call.deadline =>
                {
                    session.lose();
                }
                Err(error) => return Err(error.into_client_error(WHAT)),
            }
        }
    }

    fn check_opened(
        &self,
        answer: &wire::OpenTransactionResponse,
        id: TransactionId,
    ) -> Result<(Layout, SegmentId, Vec<Option<Target>>), ClientError> {
        let layout = wire_layout::from_wire(PEER, answer.layout.as_ref())?;
        let segment = SegmentId::from_wire(&answer.segment).map_err(|error| ClientError::protocol(PEER, error))?;
        if answer.targets.len() != layout.chunks() {
            let why = format!("{} targets for layout {layout}", answer.targets.len());
            return Err(ClientError::protocol(PEER, why));
        }
        let targets = answer.targets.iter().enumerate();
        let targets = targets.map(|(chunk, node)| self.target(node, chunk, segment, id));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let mut distinct = HashSet::new();
        if !targets.iter().flatten().all(|target| distinct.insert(target.node)) {
            return Err(ClientError::protocol(PEER, "two chunks of a segment on one node"));
        }
        if layout.chunks() - distinct.len() > wire_layout::missing_allowed(&layout) {
            return Err(ClientError::protocol(PEER, format!("{} targets for layout {layout}", distinct.len())));
        }
        Ok((layout, segment, targets))
    }

    fn target(
        &self,
        node: &wire::NodeInfo,
        chunk: usize,
        segment: SegmentId,
        id: TransactionId,
    ) -> Result<Option<Target>, ClientError> {
        if node.id.is_empty() {
            return Ok(None);
        }
        let node = Node::try_from(node.clone()).map_err(|error| ClientError::protocol(PEER, error))?;
        Ok(Some(Target {
            node: node.id,
            incarnation: node.incarnation,
            chunk: wire::ChunkTarget {
                transaction: Some(id.into()),
                segment: segment.to_wire(),
                chunk_index: u32::try_from(chunk).expect("a layout has at most 255 chunks"),
                incarnation: node.incarnation.to_wire(),
                boot: node.boot.to_wire(),
            },
            connections: self.nodes.at(&node.address)?,
            name: node.name,
        }))
    }

    pub(super) async fn commit(&self, commit: BlobCommit) -> Result<KeyEntry, ClientError> {
        let sealed = commit.sealed.as_ref().map(|segment| segment.transaction);
        let Some(transaction) = sealed else {
            let request = commit_request(&commit);
            let answer = self.mutate("commit the blob", |mut master, id| {
                let request = wire::CommitBlobRequest { request: Some(id), ..request.clone() };
                async move { master.commit_blob(request).await }
            });
            return self.committed(&commit.key, answer.await?);
        };
        let session = self.sessions.of(transaction).await?;
        match self.commit_in(&session, &commit).await {
            Err(error @ ClientError::OutcomeUnknown { .. }) => {
                // It may still be committed: it must not be aborted, nor named as open for ever.
                session.remove(transaction);
                Err(error)
            }
            Err(error) => {
                self.abort_transaction(&session, transaction).await;
                Err(error)
            }
            Ok(answer) => {
                session.remove(transaction);
                self.committed(&commit.key, answer)
            }
        }
    }

    async fn commit_in(&self, session: &Session, commit: &BlobCommit) -> Result<wire::CommitBlobResponse, ClientError> {
        const WHAT: &str = "commit the blob";
        let call = Call { what: WHAT, deadline: self.deadline(), mutates: true };
        let request = commit_request(commit);
        let slot = session.requests().take().await;
        let answer = self.masters.call(call, |mut master| {
            let request = wire::CommitBlobRequest { request: Some(slot.id()), ..request.clone() };
            async move { master.commit_blob(request).await }
        });
        let answer = answer.await;
        if let Err(CallError::Refused { refusal: Refusal::SessionExpired { .. }, .. }) = &answer {
            session.lose();
        }
        answer.map_err(|error| error.into_client_error(WHAT))
    }

    fn committed(&self, key: &Key, answer: wire::CommitBlobResponse) -> Result<KeyEntry, ClientError> {
        self.open_segments.see(answer.applied_index);
        checked_entry(key.as_str(), answer.entry).map(|(_, entry)| entry)
    }

    /// Gives a transaction up. Untold, it ends with its session.
    pub(super) async fn abort_transaction(&self, session: &Session, id: TransactionId) {
        let Some(open) = session.remove(id).filter(|_| !session.is_lost()) else { return };
        let request = wire::AbortTransactionRequest {
            transaction: Some(id.into()),
            segment: open.segment.to_wire(),
            nodes: open.nodes.iter().map(|node| node.to_wire()).collect(),
        };
        let call = Call { what: "abort the write", deadline: Instant::now() + ABORT_DEADLINE, mutates: false };
        let answer = self.masters.call(call, |mut master| {
            let request = request.clone();
            async move { master.abort_transaction(request).await }
        });
        if let Err(error) = answer.await {
            tracing::debug!(transaction = %id, ?error, "left a transaction to end with its session");
        }
    }

    /// Ends the transaction of a sealed segment that nobody commits.
    pub(super) async fn discard(&self, transaction: TransactionId) {
        if let Ok(session) = self.sessions.of(transaction).await {
            self.abort_transaction(&session, transaction).await;
        }
    }
}

fn commit_request(commit: &BlobCommit) -> wire::CommitBlobRequest {
    wire::CommitBlobRequest {
        request: None,
        key: commit.key.as_str().to_owned(),
        precondition: commit.precondition.to_wire(),
        blob: commit.blob.to_wire(),
        extents: commit.extents.iter().map(wire::Extent::from).collect(),
        sealed: commit.sealed.as_ref().map(wire::Segment::from),
        size_bytes: commit.size_bytes,
        digest: Bytes::copy_from_slice(commit.digest.as_bytes()),
        attributes: Some(commit.attributes.into()),
        writer_killed_by_signal: commit.writer_killed_by_signal,
    }
}
