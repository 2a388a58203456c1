use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{NodeId, SegmentId, SessionId, TransactionId};
use cairn_proto::records::Key;
use cairn_proto::{Refusal, wire};

use super::{OpenTransaction, TransactionTable};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::state::State;

/// How long an open transaction may go unnamed by the heartbeats of its session before its room and name are given
/// back: longer than an answer to the client can be under way.
const UNNAMED_GRACE: Duration = Duration::from_secs(5);
/// Transactions that one heartbeat may name.
const NAMED_LIMIT: usize = 16_384;

/// What a client says of one of its open transactions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedTransaction {
    pub(super) id: TransactionId,
    pub(super) segment: SegmentId,
    pub(super) nodes: Vec<NodeId>,
    sent_bytes: u64,
    key: Key,
    exclusive: bool,
}

impl NamedTransaction {
    /// The transactions that a heartbeat names, checked.
    pub fn all(session: SessionId, named: Vec<wire::OpenTransactionState>) -> Result<Vec<Self>, Refusal> {
        if named.len() > NAMED_LIMIT {
            return Err(Refusal::InvalidRequest { why: "too many open transactions".to_owned() });
        }
        let named = named.into_iter().map(Self::try_from).collect::<Result<Vec<_>, _>>()?;
        match named.iter().find(|named| named.id.session != session) {
            Some(other) => Err(Refusal::InvalidRequest { why: format!("{} is not of this session", other.id) }),
            None => Ok(named),
        }
    }
}

impl TryFrom<wire::OpenTransactionState> for NamedTransaction {
    type Error = Refusal;

    fn try_from(named: wire::OpenTransactionState) -> Result<Self, Refusal> {
        let missing = || Refusal::InvalidRequest { why: "transaction is missing".to_owned() };
        let nodes = named.nodes.iter().filter(|id| !id.is_empty()).map(|id| NodeId::from_wire(id));
        Ok(Self {
            id: named.transaction.ok_or_else(missing)?.into(),
            segment: SegmentId::from_wire(&named.segment)?,
            nodes: nodes.collect::<Result<_, _>>()?,
            sent_bytes: named.sent_bytes_per_node,
            key: named.key.try_into()?,
            exclusive: named.exclusive,
        })
    }
}

/// Keeps the table in step with what clients say: after an election it is how the table fills again.
pub struct Namer {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    table: Arc<TransactionTable>,
    default_cell_size_bytes: u64,
}

impl Namer {
    /// For the transactions of one election.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        nodes: Arc<Nodes>,
        table: Arc<TransactionTable>,
        default_cell_size_bytes: u64,
    ) -> Self {
        Self { ledger, clock, nodes, table, default_cell_size_bytes }
    }

    /// Takes what a live session says of its open transactions.
    pub fn name(&self, session: SessionId, named: &[NamedTransaction]) -> Result<(), Failure> {
        let now = self.clock.now();
        for named in named {
            self.note(named)?;
        }
        self.table.forget_unnamed(session, now, UNNAMED_GRACE);
        Ok(())
    }

    /// Takes what a live session says of one of its open transactions.
    pub fn note(&self, named: &NamedTransaction) -> Result<(), Failure> {
        let now = self.clock.now();
        if !self.table.named(named.id, named.segment, named.sent_bytes, now) && self.is_open(named)? {
            self.table.insert(named.id, self.restored(named));
        }
        Ok(())
    }

    /// Whether nothing on record has ended the transaction: a heartbeat may be older than its commit.
    fn is_open(&self, named: &NamedTransaction) -> Result<bool, Failure> {
        let view = self.ledger.view()?;
        let state = State(view.as_ref());
        let ended = state.exists(&keys::segment(named.segment))?
            || state.exists(&keys::aborted(named.id.session, named.segment))?
            || (named.exclusive && state.entry(&named.key)?.is_some());
        Ok(!ended)
    }

    fn restored(&self, named: &NamedTransaction) -> OpenTransaction {
        let members = named.nodes.iter().filter_map(|node| self.nodes.table().get(*node));
        OpenTransaction {
            segment: named.segment,
            key: named.key.clone(),
            exclusive: named.exclusive,
            places: members.map(|member| member.place()).collect(),
            sent_bytes: named.sent_bytes,
            cell_size_bytes: self.default_cell_size_bytes,
            answer: None,
            last_named: self.clock.now(),
        }
    }
}
