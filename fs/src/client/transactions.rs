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
use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection::Connection;
use super::masters::{Call, CallError, CallKind};
use super::opened_ahead::OpenedWrite;
use super::relaying::planned;
use super::session::{OpenTransaction, Session};
use super::target::Target;
use super::{BlobCommit, ClientError, Precondition, SegmentWriter, wire_layout};

/// How long the masters are asked to forget a transaction; otherwise it ends with its session.
const ABORT_DEADLINE: Duration = Duration::from_secs(3);
/// How long the masters may take to open transactions that nobody waits for yet.
const OPEN_AHEAD_DEADLINE: Duration = Duration::from_secs(1);
pub(super) const PEER: &str = "master";

impl Connection {
    pub(super) async fn begin(
        self: &Arc<Self>,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<SegmentWriter, ClientError> {
        let (session, opened) = match self.take_opened(key, precondition, layout).await? {
            Some(found) => found,
            None => self.open_transaction(key, precondition, layout).await?,
        };
        let OpenedWrite { id, segment, layout, targets } = opened;
        let transaction = Arc::new(OpenTransaction {
            id,
            segment,
            nodes: Mutex::new(targets.iter().flatten().map(|planned| planned.target.node).collect()),
            key: key.clone(),
            exclusive: precondition == Precondition::Absent,
            sent_bytes_per_node: AtomicU64::new(0),
        });
        session.add(Arc::clone(&transaction));
        Ok(SegmentWriter::new(Arc::clone(self), session, transaction, self.coder(layout), targets))
    }

    /// A transaction that was opened ahead, for a file that needs neither its name held nor its key compared.
    async fn take_opened(
        self: &Arc<Self>,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<Option<(Arc<Session>, OpenedWrite)>, ClientError> {
        if precondition != Precondition::None {
            return Ok(None);
        }
        let layout = layout.or(self.options.layout);
        let session = self.sessions.current(self.deadline()).await?;
        let avoided = self.nodes.avoided_for_writing();
        let (taken, wanted) = {
            let (mut ahead, now) = (session.opened_ahead(), Instant::now());
            (ahead.take(layout, &avoided, now), ahead.count_to_request(now))
        };
        if wanted > 0 {
            tokio::spawn(Arc::clone(self).open_ahead(Arc::clone(&session), key.clone(), layout, wanted));
        }
        Ok(taken.map(|opened| (session, opened)))
    }

    /// Opens `count` transactions for whatever is written next. Those that are not used are never named to the
    /// masters, which forget them for that.
    async fn open_ahead(self: Arc<Self>, session: Arc<Session>, key: Key, layout: Option<Layout>, count: usize) {
        const WHAT: &str = "open files ahead";
        let since = Instant::now();
        let ids = session.next_transactions(count as u64);
        let further = u32::try_from(count - 1).expect("a batch is small");
        let request = self.open_request(ids.start, &key, Precondition::None, layout, further);
        let call = Call { what: WHAT, deadline: since + OPEN_AHEAD_DEADLINE, kind: CallKind::Repeatable };
        let answer = self.masters.call(call, |mut master| {
            let request = request.clone();
            async move { master.open_transaction(request).await }
        });
        let opened = answer.await.map_err(|error| error.into_client_error(WHAT));
        let opened = opened.and_then(|answer| self.check_all_opened(answer, ids.start));
        // The next file asks by itself, and is told what is wrong.
        let opened =
            opened.inspect_err(|error| tracing::debug!(%error, "nothing was opened ahead")).unwrap_or_default();
        session.opened_ahead().add(opened, layout, since);
    }

    /// In a new session if the one there was has expired: nothing was written in it yet.
    async fn open_transaction(
        &self,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
    ) -> Result<(Arc<Session>, OpenedWrite), ClientError> {
        const WHAT: &str = "open the key for writing";
        let call = Call { what: WHAT, deadline: self.deadline(), kind: CallKind::Repeatable };
        loop {
            let session = self.sessions.current(call.deadline).await?;
            let id = session.next_transactions(1).start;
            let request = self.open_request(id, key, precondition, layout.or(self.options.layout), 0);
            let answer = self.masters.call(call, |mut master| {
                let request = request.clone();
                async move { master.open_transaction(request).await }
            });
            match answer.await {
                Ok(answer) => {
                    let layout = wire_layout::from_wire(PEER, answer.layout.as_ref())?;
                    return Ok((session, self.check_opened(layout, &first_opened(answer).0, id)?));
                }
                Err(CallError::Refused { refusal: Refusal::SessionExpired { .. }, .. })
                    if Instant::now() < call.deadline =>
                {
                    session.lose();
                }
                Err(error) => return Err(error.into_client_error(WHAT)),
            }
        }
    }

    fn open_request(
        &self,
        id: TransactionId,
        key: &Key,
        precondition: Precondition,
        layout: Option<Layout>,
        further: u32,
    ) -> wire::OpenTransactionRequest {
        wire::OpenTransactionRequest {
            transaction: Some(id.into()),
            key: key.as_str().to_owned(),
            precondition: precondition.to_wire(),
            layout: layout.map(|layout| wire_layout::to_wire(&layout)),
            avoid_nodes: self.nodes.avoided_for_writing().into_iter().map(NodeId::to_wire).collect(),
            further,
            locality: self.options.locality.clone(),
        }
    }

    /// All transactions of an answer, numbered from `first` on.
    fn check_all_opened(
        &self,
        answer: wire::OpenTransactionResponse,
        first: TransactionId,
    ) -> Result<Vec<OpenedWrite>, ClientError> {
        let layout = wire_layout::from_wire(PEER, answer.layout.as_ref())?;
        let (opened, further) = first_opened(answer);
        let sequences = first.sequence..;
        let checked = std::iter::once(opened)
            .chain(further)
            .zip(sequences)
            .map(|(opened, sequence)| self.check_opened(layout, &opened, TransactionId { sequence, ..first }));
        checked.collect()
    }

    fn check_opened(
        &self,
        layout: Layout,
        opened: &wire::OpenedSegment,
        id: TransactionId,
    ) -> Result<OpenedWrite, ClientError> {
        let wire::OpenedSegment { segment, targets, relayed } = opened;
        let segment = SegmentId::from_wire(segment).map_err(|error| ClientError::protocol(PEER, error))?;
        if targets.len() != layout.chunks() {
            let why = format!("{} targets for layout {layout}", targets.len());
            return Err(ClientError::protocol(PEER, why));
        }
        let targets = targets.iter().enumerate().map(|(chunk, node)| self.target(node, chunk, segment, id));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let mut distinct = HashSet::new();
        if !targets.iter().flatten().all(|target| distinct.insert(target.node)) {
            return Err(ClientError::protocol(PEER, "two chunks of a segment on one node"));
        }
        if layout.chunks() - distinct.len() > wire_layout::missing_allowed(&layout) {
            return Err(ClientError::protocol(PEER, format!("{} targets for layout {layout}", distinct.len())));
        }
        let targets = planned(&layout, targets, relayed).map_err(|why| ClientError::protocol(PEER, why))?;
        Ok(OpenedWrite { id, segment, layout, targets })
    }

    pub(super) fn target(
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
        let key = commit.key.clone();
        let answer = self.or_doubted(&[&key], self.carry_out(commit).await)?;
        self.changed_to(&key, answer.applied_index, answer.entry)
    }

    async fn carry_out(&self, commit: BlobCommit) -> Result<wire::CommitBlobResponse, ClientError> {
        let sealed = commit.sealed.as_ref().map(|segment| segment.transaction);
        let Some(transaction) = sealed else {
            let request = commit_request(&commit);
            let answer = self.mutate("commit the blob", |mut master, id| {
                let request = wire::CommitBlobRequest { request: Some(id), ..request.clone() };
                async move { master.commit_blob(request).await }
            });
            return answer.await;
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
                Ok(answer)
            }
        }
    }

    async fn commit_in(&self, session: &Session, commit: &BlobCommit) -> Result<wire::CommitBlobResponse, ClientError> {
        const WHAT: &str = "commit the blob";
        let call = Call { what: WHAT, deadline: self.deadline(), kind: CallKind::Mutation };
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

    /// Gives a transaction up. Untold, it ends with its session.
    pub(super) async fn abort_transaction(&self, session: &Session, id: TransactionId) {
        let Some(open) = session.remove(id).filter(|_| !session.is_lost()) else { return };
        let request = wire::AbortTransactionRequest {
            transaction: Some(id.into()),
            segment: open.segment.to_wire(),
            nodes: open.nodes.lock().iter().map(|node| node.to_wire()).collect(),
        };
        let call =
            Call { what: "abort the write", deadline: Instant::now() + ABORT_DEADLINE, kind: CallKind::Repeatable };
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

/// The transaction that was asked for, and the further ones.
fn first_opened(answer: wire::OpenTransactionResponse) -> (wire::OpenedSegment, Vec<wire::OpenedSegment>) {
    let wire::OpenTransactionResponse { segment, targets, relayed, further, .. } = answer;
    (wire::OpenedSegment { segment, targets, relayed }, further)
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
