use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use cairn_proto::ids::{NodeId, SegmentId, SessionId};
use cairn_proto::records::Node;
use futures_util::StreamExt;
use futures_util::stream;

use crate::failure::{Failure, StateError};
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::{Nodes, OrderError};
use crate::state::{State, damaged};
use crate::store::Command;

/// Ended sessions of one round.
const SESSIONS_PER_ROUND: usize = 64;
/// Nodes that are told at a time.
const NODES_AT_ONCE: usize = 16;
/// Segments listed, and deleted, at a time.
const SEGMENTS_PER_PAGE: u32 = 1024;
/// Marks of aborted segments that one command removes.
const MARKS_PER_COMMAND: usize = 1024;

/// Tells nodes of sessions that ended, and clears away what those sessions sealed and never committed.
#[derive(Debug, Default)]
pub(super) struct Revocation {
    /// Nodes that are done with a session. Lost with an election: they are asked again then.
    done: HashMap<SessionId, HashSet<NodeId>>,
}

/// Why a node is not done with a session.
#[derive(Debug, thiserror::Error)]
enum NotDone {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("the node lists something that is no segment")]
    Answer,
}

impl From<crate::store::ReadError> for NotDone {
    fn from(error: crate::store::ReadError) -> Self {
        Self::State(error.into())
    }
}

impl Revocation {
    /// One page of ended sessions from `start` on. Answers where the next page starts, or `None` at the end.
    pub(super) async fn round(
        &mut self,
        ledger: &Ledger,
        nodes: &Nodes,
        start: &Bytes,
    ) -> Result<Option<Bytes>, Failure> {
        let (sessions, next) = read(ledger, start)?;
        let mut failed = HashSet::new();
        for session in sessions {
            let done = self.done.entry(session).or_default();
            tell(ledger, nodes, session, done, &mut failed).await;
            let waiting = nodes
                .table()
                .all()
                .iter()
                .any(|member| nodes.is_registered(member.node.id) && !done.contains(&member.node.id));
            if !waiting {
                forget(ledger, session).await?;
                self.done.remove(&session);
            }
        }
        Ok(next)
    }
}

fn read(ledger: &Ledger, start: &Bytes) -> Result<(Vec<SessionId>, Option<Bytes>), StateError> {
    let view = ledger.view()?;
    let page = State(view.as_ref()).page(keys::REVOCATIONS, start, SESSIONS_PER_ROUND)?;
    let session = |key: &Bytes| {
        let number = keys::number_in(keys::REVOCATIONS, key).ok_or_else(|| damaged(key, &"not a session's key"))?;
        Ok(SessionId(number))
    };
    let sessions = page.iter().map(|(key, _)| session(key)).collect::<Result<_, StateError>>()?;
    let next = (page.len() == SESSIONS_PER_ROUND).then(|| page.last().map(|(last, _)| keys::successor(last))).flatten();
    Ok((sessions, next))
}

/// Tells every node that answers and is not done. One that fails is asked for no other session of the round.
async fn tell(
    ledger: &Ledger,
    nodes: &Nodes,
    session: SessionId,
    done: &mut HashSet<NodeId>,
    failed: &mut HashSet<NodeId>,
) {
    let waiting: Vec<Node> = nodes
        .table()
        .all()
        .into_iter()
        .map(|member| member.node)
        .filter(|node| !done.contains(&node.id) && !failed.contains(&node.id) && nodes.answers(node.id))
        .collect();
    let orders = waiting.into_iter().map(|node| async move {
        match clear(ledger, nodes, &node, session).await {
            Ok(()) => Ok(node.id),
            Err(error) => {
                tracing::warn!(node = %node.name, %session, %error, "cannot end sessions on a node");
                Err(node.id)
            }
        }
    });
    let told: Vec<_> = stream::iter(orders).buffer_unordered(NODES_AT_ONCE).collect().await;
    for node in told {
        match node {
            Ok(node) => done.insert(node),
            Err(node) => failed.insert(node),
        };
    }
}

/// Ends the session on one node and deletes what it sealed there without committing. The records are read after the
/// node has listed: the session is over, so a segment that has no record by then will never have one.
async fn clear(ledger: &Ledger, nodes: &Nodes, node: &Node, session: SessionId) -> Result<(), NotDone> {
    nodes.orders().revoke(node, session).await?;
    let mut start_after: Option<SegmentId> = None;
    loop {
        let page = nodes.orders().list(node, session, start_after, SEGMENTS_PER_PAGE).await?;
        let listed =
            page.chunks.iter().map(|chunk| SegmentId::from_wire(&chunk.segment)).collect::<Result<Vec<_>, _>>();
        let listed = listed.map_err(|_| NotDone::Answer)?;
        let (orphans, read_at) = without_record(ledger, &listed)?;
        if !orphans.is_empty() {
            nodes.orders().delete(node, &orphans, read_at).await?;
        }
        match listed.last() {
            Some(last) if page.more && start_after.is_none_or(|before| before < *last) => start_after = Some(*last),
            _ if page.more => return Err(NotDone::Answer),
            _ => return Ok(()),
        }
    }
}

/// Those that have no record, and the log index at which they have none.
fn without_record(ledger: &Ledger, listed: &[SegmentId]) -> Result<(Vec<SegmentId>, u64), StateError> {
    let view = ledger.view()?;
    let state = State(view.as_ref());
    let mut orphans = Vec::new();
    for segment in listed {
        if !state.exists(&keys::segment(*segment))? {
            orphans.push(*segment);
        }
    }
    Ok((orphans, view.applied_index()))
}

/// Removes what is kept of a session that no node knows any more.
async fn forget(ledger: &Ledger, session: SessionId) -> Result<(), Failure> {
    let prefix = keys::aborted_of(session);
    loop {
        let marks = {
            let view = ledger.view()?;
            State(view.as_ref()).page(&prefix, &prefix, MARKS_PER_COMMAND)?
        };
        let mut command = Command::new();
        for (mark, _) in &marks {
            command.delete(mark.clone());
        }
        let last = marks.len() < MARKS_PER_COMMAND;
        if last {
            command.delete(keys::revocation(session));
        }
        ledger.commit(command).await?;
        if last {
            return Ok(());
        }
    }
}
