use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{BootId, NodeId, SessionId};
use cairn_proto::records::Node;
use cairn_proto::wire::NodeState;
use cairn_proto::{Refusal, wire};
use tokio::sync::{Mutex, watch};

use super::events::{EventLog, Heard, happenings};
use super::health::NodeTiming;
use super::newcomers::Newcomers;
use super::{Admissions, Intent, Member, NodeTable, OrderError, Orders};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::keys;
use crate::ledger::Ledger;
use crate::scheduler::Candidate;
use crate::state::{State, Stored, encode};
use crate::store::StoreSession;
use crate::transactions::TransactionTable;

/// How long the opening of a file waits, just after an election, until nodes have been heard.
const FIRST_ROUND_DEADLINE: Duration = Duration::from_secs(2);

/// Registers nodes and knows how they are.
pub struct Nodes {
    pub(super) ledger: Ledger,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) timing: NodeTiming,
    pub(super) orders: Orders,
    pub(super) table: NodeTable,
    pub(super) first_round_done: watch::Sender<bool>,
    /// To be asked before their time.
    pub(super) newcomers: Newcomers,
    pub(super) transactions: Arc<TransactionTable>,
    admissions: Admissions,
    /// Held while a node's record is changed.
    pub(super) writing: Mutex<()>,
}

impl Nodes {
    /// The nodes that an election found.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        timing: NodeTiming,
        orders: Orders,
        transactions: Arc<TransactionTable>,
        found: Vec<Node>,
    ) -> Self {
        let table = NodeTable::new(found, clock.now(), clock.unix_ms());
        let first_round_done = watch::Sender::new(false);
        let (newcomers, writing, admissions) = (Newcomers::default(), Mutex::new(()), Admissions::default());
        Self { ledger, clock, timing, orders, table, first_round_done, newcomers, transactions, admissions, writing }
    }

    /// The registered nodes.
    pub fn table(&self) -> &NodeTable {
        &self.table
    }

    /// Orders to them.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Which sessions they admitted.
    pub fn admissions(&self) -> &Admissions {
        &self.admissions
    }

    /// Takes note that a node stops, perhaps for a planned maintenance; one that another life of it has replaced is a
    /// success.
    pub async fn leave(&self, id: NodeId, boot: BootId, maintenance: Option<Duration>) -> Result<(), Failure> {
        if self.table.get(id).is_none_or(|member| member.boot() != boot) {
            return Ok(());
        }
        self.table.update(id, |member| member.health.leaves());
        if let Some(duration) = maintenance {
            self.set_intent(id, Intent::Stop { duration }).await?;
        }
        self.record_state(id).await
    }

    /// Writes the record of a node whose state is another than it says.
    pub(super) async fn record_state(&self, id: NodeId) -> Result<(), Failure> {
        let _writing = self.writing.lock().await;
        loop {
            let Some(member) = self.table.get(id) else { return Ok(()) };
            let recorded = self.recorded(id)?;
            let Some(before) = recorded.as_ref() else { return Ok(()) };
            let state = member.recordable_state(self.clock.now(), &self.timing);
            if before.record.state == state {
                self.table.update(id, |member| member.node.state = state);
                return Ok(());
            }
            let node = Node { state, ..before.record.clone() };
            if self.write(&node, recorded.as_ref()).await? {
                tracing::info!(node = %node.name, id = %node.id, state = state.as_str_name(), "node changed");
                self.table.update(id, |member| member.node.state = state);
                return Ok(());
            }
        }
    }

    /// Every node but the removed.
    pub(super) fn registered(&self) -> Vec<NodeId> {
        self.pick_registered(|member| member.node.id)
    }

    fn pick_registered<T, C: FromIterator<T>>(&self, mut pick: impl FnMut(&Member) -> T) -> C {
        self.table.pick(|member| (member.node.intended_state != NodeState::Removed).then(|| pick(member)))
    }

    pub(super) fn recorded(&self, id: NodeId) -> Result<Option<Stored<Node>>, Failure> {
        let view = self.ledger.view()?;
        Ok(State(view.as_ref()).node(id)?)
    }

    /// Writes a record if it is still as it was read, and with it the events that this change is. `false`: it is not, and
    /// a view from now on shows what it is.
    pub(super) async fn write(&self, node: &Node, read: Option<&Stored<Node>>) -> Result<bool, Failure> {
        let heard =
            |member: &Member| Heard { leaving: member.health.is_leaving(), joins_soon: member.boot() != node.boot };
        let heard = self.table.look(node.id, heard).unwrap_or_default();
        let happenings = happenings(read.map(|read| &read.record), node, heard);
        let plan = |session: &mut StoreSession| {
            let unchanged = State(session).node(node.id)?.as_ref() == read;
            if unchanged {
                session.put(keys::node(node.id), encode(&wire::NodeInfo::from(node)));
                EventLog::append(session, node.id, &happenings, self.clock.unix_ms())?;
            }
            Ok(unchanged)
        };
        Ok(self.ledger.transact(plan).await?.result)
    }

    /// Nodes that may be placed on, and the names of the others with the reason.
    pub fn candidates(&self) -> (Vec<Candidate>, Vec<String>) {
        let now = self.clock.now();
        let (mut candidates, mut missing) = (Vec::new(), Vec::new());
        let sort = |member: &Member| {
            let reserved = self.transactions.reserved_bytes(member.node.id);
            match member.candidate(reserved, now, &self.timing) {
                Ok(candidate) => candidates.push(candidate),
                Err(why) => missing.push(format!("{} ({why})", member.node.name)),
            }
        };
        self.pick_registered::<(), ()>(sort);
        (candidates, missing)
    }

    /// Nodes that keep chunks of a segment, for the spread of one more.
    pub fn keepers(&self, nodes: impl IntoIterator<Item = NodeId>) -> Vec<Candidate> {
        nodes.into_iter().filter_map(|node| self.table.get(node)).map(|member| member.keeper()).collect()
    }

    /// A node as clients and people see it.
    pub fn info(&self, id: NodeId) -> Option<wire::NodeInfo> {
        let member = self.table.get(id)?;
        Some(member.info(self.transactions.reserved_bytes(id), self.clock.now(), &self.timing))
    }

    /// Every node but the removed, as clients and people see it.
    pub fn infos(&self) -> Vec<wire::NodeInfo> {
        let now = self.clock.now();
        self.pick_registered(|member| member.info(self.transactions.reserved_bytes(member.node.id), now, &self.timing))
    }

    /// Every registered node and what it is now.
    pub fn members_with_state(&self) -> Vec<(Member, NodeState)> {
        let now = self.clock.now();
        let with_state = |member: Member| {
            let state = member.state(now, &self.timing);
            (member, state)
        };
        self.table.all().into_iter().map(with_state).collect()
    }

    /// Room for the chunks of new segments: on each node that takes them, what is free and the limit.
    pub fn rooms(&self) -> (Vec<u64>, Vec<u64>) {
        let free = self.candidates().0.iter().map(|candidate| candidate.free_bytes).collect();
        (free, self.pick_registered(|member| member.room().0))
    }

    /// Whether orders may be sent to a node now.
    pub fn answers(&self, id: NodeId) -> bool {
        let state = self.table.look(id, |member| member.state(self.clock.now(), &self.timing));
        state.is_some_and(can_be_ordered)
    }

    /// Every node that orders may be sent to now.
    pub fn answering(&self) -> Vec<Node> {
        let (members, now) = (self.table(), self.clock.now());
        members.pick(|member| can_be_ordered(member.state(now, &self.timing)).then(|| member.node.clone()))
    }

    /// Whether a node is registered and not removed.
    pub fn is_registered(&self, id: NodeId) -> bool {
        self.table.look(id, |member| member.node.intended_state != NodeState::Removed).unwrap_or(false)
    }

    /// Lets a session write on a node, unless it may already; answers for which life of its process. A node that
    /// fails is not placed on again before it answers a heartbeat.
    pub async fn admit(&self, session: SessionId, id: NodeId) -> Result<BootId, OrderError> {
        let gone = || OrderError::Refused(Refusal::InvalidRequest { why: format!("node {id} is gone") }.into());
        let member = self.table.get(id).ok_or_else(gone)?;
        if self.admissions.has(session, id, member.boot()) {
            return Ok(member.boot());
        }
        let admitted = self.orders.admit(&member.node, session).await;
        match &admitted {
            Ok(boot) => {
                self.admissions.add(session, id, *boot);
                self.table.update(id, |member| member.node.boot = *boot);
            }
            Err(error) => {
                tracing::warn!(node = %member.node.name, %session, %error, "node does not admit a session");
                self.table.update(id, |member| member.health.missed());
            }
        }
        admitted
    }

    /// Waits until every node found at the election has been asked once.
    pub async fn first_round(&self) {
        let mut done = self.first_round_done.subscribe();
        let waited = tokio::time::timeout(FIRST_ROUND_DEADLINE, done.wait_for(|done| *done)).await;
        if waited.is_err() {
            tracing::warn!("nodes have not been heard yet since the election");
        }
    }
}

fn can_be_ordered(state: NodeState) -> bool {
    !matches!(state, NodeState::Suspect | NodeState::Dead | NodeState::Removed)
}
