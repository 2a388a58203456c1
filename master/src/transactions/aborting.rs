use std::sync::Arc;

use cairn_proto::ids::{NodeId, SegmentId, TransactionId};
use cairn_proto::records::ChunkPlace;
use cairn_proto::{Refusal, wire};

use super::TransactionTable;
use crate::failure::Failure;
use crate::garbage::garbage_record;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::records::GarbageRecord;
use crate::sessions::Sessions;
use crate::state::{State, encode};
use crate::store::{Expected, StoreSession};

/// Nodes that one segment can have been written to, replacements included.
const NODES_LIMIT: usize = 1024;

/// A request to abort a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortRequest {
    /// The transaction.
    pub transaction: TransactionId,
    /// The segment it wrote.
    pub segment: SegmentId,
    /// Nodes it wrote to.
    pub nodes: Vec<NodeId>,
}

impl TryFrom<wire::AbortTransactionRequest> for AbortRequest {
    type Error = Refusal;

    fn try_from(request: wire::AbortTransactionRequest) -> Result<Self, Refusal> {
        let invalid = |why: &str| Refusal::InvalidRequest { why: why.to_owned() };
        if request.nodes.len() > NODES_LIMIT {
            return Err(invalid("too many nodes"));
        }
        Ok(Self {
            transaction: request.transaction.ok_or_else(|| invalid("transaction is missing"))?.into(),
            segment: SegmentId::from_wire(&request.segment)?,
            nodes: request
                .nodes
                .iter()
                .filter(|id| !id.is_empty())
                .map(|id| NodeId::from_wire(id))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Aborts transactions: one command makes sure that the segment can never be committed, and orders its cells deleted.
pub struct Aborter {
    ledger: Ledger,
    sessions: Arc<Sessions>,
    nodes: Arc<Nodes>,
    table: Arc<TransactionTable>,
}

impl Aborter {
    /// For the transactions of one election.
    pub fn new(ledger: Ledger, sessions: Arc<Sessions>, nodes: Arc<Nodes>, table: Arc<TransactionTable>) -> Self {
        Self { ledger, sessions, nodes, table }
    }

    /// Aborts a transaction; one that is aborted or committed already is a success.
    pub async fn abort(&self, request: AbortRequest) -> Result<(), Failure> {
        self.sessions.table().check(request.transaction.session)?;
        let open = self.table.get(request.transaction);
        if open.as_ref().is_some_and(|open| open.segment != request.segment) {
            let why = format!("transaction {} writes another segment", request.transaction);
            return Err(Refusal::InvalidRequest { why }.into());
        }
        let mut places = open.map(|open| open.places).unwrap_or_default();
        for place in request.nodes.iter().filter_map(|node| self.nodes.table().get(*node)).map(|member| member.place())
        {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        self.ledger.transact(|session| plan_abort(session, &request, &places)).await?;
        self.table.remove(request.transaction);
        Ok(())
    }
}

/// Marks the segment aborted and its chunks garbage; nothing if it is committed or aborted already.
fn plan_abort(session: &mut StoreSession, request: &AbortRequest, places: &[ChunkPlace]) -> Result<(), Failure> {
    let client = request.transaction.session;
    let registration = keys::session(client);
    if !State(session.view()).exists(&registration)? {
        return Err(Refusal::SessionExpired { session: client.to_string() }.into());
    }
    let mark = keys::aborted(client, request.segment);
    let state = State(session);
    if state.exists(&mark)? || state.exists(&keys::segment(request.segment))? {
        return Ok(());
    }
    session.require(registration, Expected::Present);
    session.put(mark, encode(&GarbageRecord::default()));
    if !places.is_empty() {
        let garbage = keys::garbage(request.segment);
        session.require(garbage.clone(), Expected::Absent);
        session.put(garbage, encode(&garbage_record(places.iter().copied())));
    }
    Ok(())
}
