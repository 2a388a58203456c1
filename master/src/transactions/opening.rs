use std::collections::HashSet;
use std::sync::Arc;

use cairn_codec::Layout;
use cairn_proto::ids::{BootId, IncarnationId, NodeId, SegmentId, TransactionId};
use cairn_proto::records::{ChunkPlace, Key};
use cairn_proto::{Refusal, wire};
use futures_util::future::join_all;

use super::{Begun, OpenTransaction, TransactionTable};
use crate::blobs::{Overwrite, Precondition};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::layouts::{checked_layout, wire_layout};
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::scheduler::{Candidate, CannotPlace, Placement, Score, place, plan_transfer};
use crate::sessions::Sessions;
use crate::state::State;
use crate::stripes::Stripes;
use crate::tenure::Settings;

/// How often a segment is placed anew because a node chosen for it does not admit the session.
pub(super) const PLACEMENT_TRIES: usize = 4;
/// Nodes that a client may ask to avoid.
pub(super) const AVOIDED_LIMIT: usize = 255;
/// Labels of a client.
const LABELS_LIMIT: usize = 64;
/// Further transactions that one request may open.
const FURTHER_LIMIT: u32 = 16;

/// A request to open a transaction, as far as it can be checked by itself.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenRequest {
    /// The transaction.
    pub transaction: TransactionId,
    /// The key it will commit under.
    pub key: Key,
    /// What the key must be.
    pub precondition: Precondition,
    /// The layout wanted; `None`: the cluster's default.
    pub layout: Option<Layout>,
    /// Nodes that just failed this client.
    pub avoid: Vec<NodeId>,
    /// Transactions to open besides, for keys that the client has not named yet.
    pub further: u32,
    /// Where the client is: labels, widest failure domain first.
    pub locality: Vec<(String, String)>,
}

impl TryFrom<wire::OpenTransactionRequest> for OpenRequest {
    type Error = Refusal;

    fn try_from(request: wire::OpenTransactionRequest) -> Result<Self, Refusal> {
        let invalid = |why: &str| Refusal::InvalidRequest { why: why.to_owned() };
        if request.avoid_nodes.len() > AVOIDED_LIMIT {
            return Err(invalid("too many nodes to avoid"));
        }
        if request.further > FURTHER_LIMIT {
            return Err(invalid("too many further transactions"));
        }
        if request.locality.len() > LABELS_LIMIT {
            return Err(invalid("too many labels"));
        }
        Ok(Self {
            transaction: request.transaction.ok_or_else(|| invalid("transaction is missing"))?.into(),
            key: request.key.try_into()?,
            precondition: request.precondition.try_into()?,
            layout: request.layout.as_ref().map(checked_layout).transpose()?,
            avoid: request.avoid_nodes.iter().map(|id| NodeId::from_wire(id)).collect::<Result<_, _>>()?,
            further: request.further,
            locality: request.locality.into_iter().map(|label| (label.key, label.value)).collect(),
        })
    }
}

/// Opens transactions: precondition, name, placement, reservation, admission. Nothing is logged.
pub struct Opener {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    sessions: Arc<Sessions>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) table: Arc<TransactionTable>,
    default_layout: Layout,
    pub(super) score: Score,
    datacenter_labels: Vec<String>,
    overwrite: Overwrite,
    opening: Stripes,
}

impl Opener {
    /// For the nodes, sessions and transactions of one election.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        sessions: Arc<Sessions>,
        nodes: Arc<Nodes>,
        table: Arc<TransactionTable>,
        settings: &Settings,
    ) -> Self {
        let (default_layout, score, overwrite) = (settings.default_layout, settings.score, settings.overwrite);
        let (datacenter_labels, opening) = (settings.datacenter_labels.clone(), Stripes::default());
        Self { ledger, clock, sessions, nodes, table, default_layout, score, datacenter_labels, overwrite, opening }
    }

    /// Opens a transaction. Asked again it answers the same, as long as it is open.
    pub async fn open(&self, request: OpenRequest) -> Result<wire::OpenTransactionResponse, Failure> {
        let id = request.transaction;
        self.sessions.table().check(id.session)?;
        let _opening = self.opening.lock(id).await;
        let exclusive = request.precondition == Precondition::Absent;
        let claim = match self.table.begin(id, &request.key, exclusive)? {
            Begun::Open(open) => return Ok(answered_before(id, &request.key, *open)?),
            Begun::New(claim) => claim,
        };
        // The name is held from here on, so a key that is not there now cannot come from another exclusive writer.
        self.check_precondition(&request)?;
        self.nodes.first_round().await;
        let layout = request.layout.unwrap_or(self.default_layout);
        let placed = self.placed(&request, &layout).await?;
        let further = self.open_further(&request, &layout).await;
        let wire::OpenedSegment { segment, targets, relayed } = placed.clone();
        let layout_answer = Some(wire_layout(&layout));
        let answer = wire::OpenTransactionResponse { segment, layout: layout_answer, targets, further, relayed };
        claim.opened(OpenTransaction {
            exclusive,
            answer: Some(answer.clone()),
            ..self.opened(&request.key, &layout, &placed)?
        });
        // A session that ended meanwhile has had its transactions forgotten before these were added.
        self.sessions.table().check(id.session).inspect_err(|_| self.table.remove_session(id.session))?;
        Ok(answer)
    }

    /// Opens transactions for keys that are not known yet: as many as were asked for, or as can be. One that its
    /// client does not use goes unnamed by heartbeats, and is forgotten for that.
    async fn open_further(&self, request: &OpenRequest, layout: &Layout) -> Vec<wire::OpenedSegment> {
        let mut further = Vec::new();
        let TransactionId { session, sequence } = request.transaction;
        let numbers = (1..=u64::from(request.further)).map_while(|ahead| sequence.checked_add(ahead));
        for id in numbers.map(|sequence| TransactionId { session, sequence }) {
            match self.open_one_further(id, request, layout).await {
                Ok(opened) => further.push(opened),
                Err(error) => {
                    tracing::debug!(transaction = %id, ?error, "not opened ahead");
                    break;
                }
            }
        }
        further
    }

    async fn open_one_further(
        &self,
        id: TransactionId,
        request: &OpenRequest,
        layout: &Layout,
    ) -> Result<wire::OpenedSegment, Failure> {
        let Begun::New(claim) = self.table.begin(id, &request.key, false)? else {
            return Err(Refusal::InvalidRequest { why: format!("transaction {id} is open already") }.into());
        };
        let placed = self.placed(request, layout).await?;
        claim.opened(self.opened(&request.key, layout, &placed)?);
        Ok(placed)
    }

    /// A new segment on nodes that have admitted the session.
    async fn placed(&self, request: &OpenRequest, layout: &Layout) -> Result<wire::OpenedSegment, Failure> {
        let targets = self.targets(request, layout).await?;
        let targets = targets.iter().map(|target| self.target_info(*target)).collect::<Result<Vec<_>, _>>()?;
        let relayed = self.relayed(request, layout, &targets);
        Ok(wire::OpenedSegment { segment: SegmentId::generate().to_wire(), targets, relayed })
    }

    /// The transfer plan. Only copies can be passed on: other chunks are each made by the client.
    fn relayed(&self, request: &OpenRequest, layout: &Layout, targets: &[wire::NodeInfo]) -> Vec<wire::RelayedChunk> {
        if layout.data() > 1 {
            return Vec::new();
        }
        let labels = |target: &wire::NodeInfo| {
            let pairs = target.locality.iter().map(|label| (label.key.clone(), label.value.clone()));
            (!target.id.is_empty()).then(|| pairs.collect())
        };
        let places: Vec<Option<Vec<(String, String)>>> = targets.iter().map(labels).collect();
        let narrow = |chunk: usize| u32::try_from(chunk).expect("a layout has at most 255 chunks");
        plan_transfer(&request.locality, &places, &self.datacenter_labels)
            .into_iter()
            .map(|relayed| wire::RelayedChunk { chunk: narrow(relayed.chunk), via_chunk: narrow(relayed.via) })
            .collect()
    }

    fn check_precondition(&self, request: &OpenRequest) -> Result<(), Failure> {
        let view = self.ledger.view()?;
        let entry = State(view.as_ref()).entry(&request.key)?.map(|found| found.record);
        request.precondition.check(&request.key, entry.as_ref())?;
        Ok(self.overwrite.check_opening(&request.key, entry.as_ref(), request.precondition)?)
    }

    /// A node for each chunk, each of which has admitted the session.
    async fn targets(&self, request: &OpenRequest, layout: &Layout) -> Result<Vec<Option<(NodeId, BootId)>>, Failure> {
        let mut failed: HashSet<NodeId> = HashSet::new();
        for _ in 0..PLACEMENT_TRIES {
            let placement = self.place(request, layout, &failed).map_err(Refusal::from)?;
            let admitted = join_all(placement.iter().map(|chunk| self.admit(request.transaction, *chunk))).await;
            if let Ok(targets) = admitted.iter().copied().collect::<Result<Vec<_>, _>>() {
                return Ok(targets);
            }
            failed.extend(admitted.into_iter().filter_map(Result::err));
        }
        Err(Refusal::NotReady { why: "nodes keep failing while files are opened".to_owned() }.into())
    }

    async fn admit(&self, id: TransactionId, chunk: Option<NodeId>) -> Result<Option<(NodeId, BootId)>, NodeId> {
        let Some(node) = chunk else { return Ok(None) };
        let boot = self.nodes.admit(id.session, node).await.map_err(|_| node)?;
        Ok(Some((node, boot)))
    }

    /// Places the chunks on nodes that have not failed, and on none that the client wants avoided if it can do without.
    fn place(
        &self,
        request: &OpenRequest,
        layout: &Layout,
        failed: &HashSet<NodeId>,
    ) -> Result<Placement, CannotPlace> {
        let (mut candidates, missing) = self.nodes.candidates();
        candidates.retain(|candidate| !failed.contains(&candidate.node));
        let wanted: Vec<Candidate> =
            candidates.iter().filter(|candidate| !request.avoid.contains(&candidate.node)).cloned().collect();
        let room = layout.cell_size_bytes() as u64;
        let random = &mut rand::rng();
        place(&wanted, &missing, layout, room, self.score, random)
            .or_else(|_| place(&candidates, &missing, layout, room, self.score, random))
    }

    pub(super) fn target_info(&self, target: Option<(NodeId, BootId)>) -> Result<wire::NodeInfo, Refusal> {
        let Some((node, boot)) = target else { return Ok(wire::NodeInfo::default()) };
        let info = self.nodes.info(node).ok_or_else(|| Refusal::NotReady { why: format!("node {node} is gone") })?;
        Ok(wire::NodeInfo { boot: boot.to_wire(), ..info })
    }

    fn opened(&self, key: &Key, layout: &Layout, placed: &wire::OpenedSegment) -> Result<OpenTransaction, Refusal> {
        let mut at = Vec::with_capacity(placed.targets.len());
        for target in placed.targets.iter().filter(|target| !target.id.is_empty()) {
            let (node, incarnation) = (NodeId::from_wire(&target.id)?, IncarnationId::from_wire(&target.incarnation)?);
            at.push(ChunkPlace { node, incarnation });
        }
        Ok(OpenTransaction {
            segment: SegmentId::from_wire(&placed.segment)?,
            key: key.clone(),
            exclusive: false,
            places: at,
            sent_bytes: 0,
            cell_size_bytes: layout.cell_size_bytes() as u64,
            answer: None,
            last_named: self.clock.now(),
        })
    }
}

fn answered_before(
    id: TransactionId,
    key: &Key,
    open: OpenTransaction,
) -> Result<wire::OpenTransactionResponse, Refusal> {
    match open.answer {
        Some(answer) if open.key == *key => Ok(answer),
        _ => Err(Refusal::InvalidRequest { why: format!("transaction {id} is open already") }),
    }
}
