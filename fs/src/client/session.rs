use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::ids::{NodeId, SegmentId, SessionId, TransactionId};
use cairn_proto::records::Key;
use cairn_proto::wire;
use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::opened_ahead::OpenedAhead;
use super::request_slots::RequestSlots;
use super::{ClientError, wire_layout};

/// A client's registration with the masters.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    heartbeat_interval: Duration,
    default_layout: Layout,
    write_once: bool,
    requests: RequestSlots,
    last_transaction: AtomicU64,
    transactions: Mutex<BTreeMap<u64, Arc<OpenTransaction>>>,
    opened_ahead: Mutex<OpenedAhead>,
    lost: CancellationToken,
}

/// A write under way, as far as a newly elected master needs to know of it.
#[derive(Debug)]
pub(super) struct OpenTransaction {
    pub(super) id: TransactionId,
    pub(super) segment: SegmentId,
    /// Nodes that cells are or were sent to.
    pub(super) nodes: Mutex<Vec<NodeId>>,
    pub(super) key: Key,
    pub(super) exclusive: bool,
    /// Bytes sent so far to the node that was sent most.
    pub(super) sent_bytes_per_node: AtomicU64,
}

impl Session {
    pub(super) fn from_wire(answer: &wire::OpenSessionResponse) -> Result<Self, ClientError> {
        const PEER: &str = "master";
        if answer.session == 0 || answer.heartbeat_interval_ms == 0 {
            return Err(ClientError::protocol(PEER, "a session without a number or heartbeat interval"));
        }
        let id = SessionId(answer.session);
        Ok(Self {
            id,
            heartbeat_interval: Duration::from_millis(answer.heartbeat_interval_ms),
            default_layout: wire_layout::from_wire(PEER, answer.default_layout.as_ref())?,
            write_once: answer.write_once,
            requests: RequestSlots::new(id),
            last_transaction: AtomicU64::new(0),
            transactions: Mutex::default(),
            opened_ahead: Mutex::default(),
            lost: CancellationToken::new(),
        })
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    pub(super) fn heartbeat_interval(&self) -> Duration {
        self.heartbeat_interval
    }

    pub(super) fn default_layout(&self) -> Layout {
        self.default_layout
    }

    /// Whether keys are never overwritten.
    pub(super) fn is_write_once(&self) -> bool {
        self.write_once
    }

    pub(super) fn requests(&self) -> &RequestSlots {
        &self.requests
    }

    /// Numbers for transactions, never given out again.
    pub(super) fn next_transactions(&self, count: u64) -> Range<TransactionId> {
        let first = self.last_transaction.fetch_add(count, Ordering::Relaxed) + 1;
        let id = |sequence| TransactionId { session: self.id, sequence };
        id(first)..id(first + count)
    }

    pub(super) fn opened_ahead(&self) -> MutexGuard<'_, OpenedAhead> {
        self.opened_ahead.lock()
    }

    /// The masters said that the session has expired: nothing of it can be committed any more.
    pub(super) fn lose(&self) {
        self.lost.cancel();
    }

    pub(super) fn check_alive(&self) -> Result<(), ClientError> {
        if self.lost.is_cancelled() { Err(ClientError::SessionLost { session: self.id }) } else { Ok(()) }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.is_cancelled()
    }

    pub(super) fn add(&self, transaction: Arc<OpenTransaction>) {
        self.transactions.lock().insert(transaction.id.sequence, transaction);
    }

    pub(super) fn remove(&self, transaction: TransactionId) -> Option<Arc<OpenTransaction>> {
        self.transactions.lock().remove(&transaction.sequence)
    }

    /// Every open transaction, for the heartbeat.
    pub(super) fn transactions(&self) -> Vec<wire::OpenTransactionState> {
        self.transactions.lock().values().map(|transaction| transaction.to_wire()).collect()
    }
}

impl OpenTransaction {
    pub(super) fn to_wire(&self) -> wire::OpenTransactionState {
        wire::OpenTransactionState {
            transaction: Some(self.id.into()),
            segment: self.segment.to_wire(),
            nodes: self.nodes.lock().iter().map(|node| node.to_wire()).collect(),
            sent_bytes_per_node: self.sent_bytes_per_node.load(Ordering::Relaxed),
            key: self.key.as_str().to_owned(),
            exclusive: self.exclusive,
        }
    }
}
