//! Everything that one election brings to life: managers, derived state and jobs, gone together when it is over.

use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::ids::{ClusterId, SessionId};
use cairn_proto::{Refusal, wire};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::administration::NodeAdministration;
use crate::blobs::{Blobs, Overwrite};
use crate::clock::Clock;
use crate::failure::{Failure, StateError};
use crate::fsck::Inspector;
use crate::jobs::{Collection, OrphanSweep, Rebalancing, Reconstruction, RepairSettings};
use crate::keys;
use crate::kv::Values;
use crate::layouts::wire_layout;
use crate::ledger::Ledger;
use crate::nodes::{NodeClient, NodeTiming, Nodes, Orders};
use crate::requests::Requests;
use crate::scheduler::{Score, placeable_bytes};
use crate::sessions::{Report, Sessions};
use crate::state::State;
use crate::status::CensusTaker;
use crate::store::{Epoch, Store};
use crate::transactions::{
    AbortRequest, Aborter, NamedTransaction, Namer, OpenRequest, Opener, ReplaceRequest, TransactionTable,
};
use crate::watching::Watchers;

/// How often silent sessions are looked for.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);

/// What the managers are set up with.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Used where a client names none.
    pub default_layout: Layout,
    /// Which of equally spread nodes is taken first.
    pub score: Score,
    /// Labels that name a datacenter, into which copies are sent once.
    pub datacenter_labels: Vec<String>,
    /// What becomes of a key that exists when a file is written under it.
    pub overwrite: Overwrite,
    /// Time from one heartbeat of a session to the next.
    pub session_heartbeat: Duration,
    /// Silence after which a session ends.
    pub session_timeout: Duration,
    /// When a node's silence means what.
    pub nodes: NodeTiming,
    /// How long a deleted blob stays, at least.
    pub collection_grace: Duration,
    /// How missing chunks are rebuilt.
    pub repair: RepairSettings,
    /// In which every node's inventory is looked through for chunks that nothing names.
    pub orphan_sweep_period: Duration,
}

/// What a tenure needs of the outside.
#[derive(Clone)]
pub struct Surroundings {
    /// The replicated store.
    pub store: Arc<dyn Store>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The nodes.
    pub node_client: Arc<dyn NodeClient>,
}

/// One election's managers.
pub struct Tenure {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    settings: Settings,
    cluster: ClusterId,
    sessions: Arc<Sessions>,
    transactions: Arc<TransactionTable>,
    nodes: Arc<Nodes>,
    requests: Arc<Requests>,
    blobs: Blobs,
    values: Values,
    watchers: Watchers,
    opener: Opener,
    aborter: Aborter,
    namer: Namer,
    census: Arc<CensusTaker>,
    reconstruction: Arc<Reconstruction>,
    administration: NodeAdministration,
    sweep_wanted: Arc<Notify>,
    inspector: Arc<Inspector>,
    rebalancing: Arc<Rebalancing>,
}

impl Tenure {
    /// Reads what memory has to know of the state as this election found it.
    pub fn load(around: &Surroundings, epoch: Epoch, settings: Settings) -> Result<Self, Failure> {
        let ledger = Ledger::new(Arc::clone(&around.store), epoch);
        let clock = Arc::clone(&around.clock);
        let view = ledger.view()?;
        let state = State(view.as_ref());
        let missing = || Refusal::NotReady { why: "the cluster has no id yet".to_owned() };
        let cluster = state.cluster()?.ok_or_else(missing)?;
        let cluster_epoch = state.number(keys::CLUSTER_EPOCH)?.map_or(1, |found| found.record);
        let orders = Orders::new(Arc::clone(&around.node_client), cluster, cluster_epoch, epoch);
        let found_nodes = state.nodes()?.into_iter().map(|found| found.record).collect();
        let found_sessions = state.sessions()?;
        drop(view);
        let transactions = Arc::new(TransactionTable::default());
        let timing = settings.nodes;
        let nodes =
            Nodes::new(ledger.clone(), Arc::clone(&clock), timing, orders, Arc::clone(&transactions), found_nodes);
        let sessions = Sessions::new(ledger.clone(), Arc::clone(&clock), found_sessions, settings.session_timeout);
        Ok(Self::assemble(ledger, clock, settings, cluster, Arc::new(sessions), transactions, Arc::new(nodes)))
    }

    fn assemble(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        settings: Settings,
        cluster: ClusterId,
        sessions: Arc<Sessions>,
        transactions: Arc<TransactionTable>,
        nodes: Arc<Nodes>,
    ) -> Self {
        let requests = Arc::new(Requests::new(ledger.clone()));
        let reconstruction =
            Arc::new(Reconstruction::new(ledger.clone(), Arc::clone(&clock), Arc::clone(&nodes), settings.repair));
        let sweep_wanted = Arc::new(Notify::new());
        let layout = settings.default_layout;
        let spare = u32::try_from(layout.code()).expect("a layout has at most 255 chunks");
        let census = Arc::new(CensusTaker::new(ledger.clone(), Arc::clone(&clock), Arc::clone(&nodes), spare));
        Self {
            rebalancing: Arc::new(Rebalancing::new(
                ledger.clone(),
                Arc::clone(&clock),
                Arc::clone(&nodes),
                Arc::clone(&reconstruction),
            )),
            administration: NodeAdministration::new(
                ledger.clone(),
                Arc::clone(&clock),
                Arc::clone(&nodes),
                Arc::clone(&sessions),
                Arc::clone(&census),
                Arc::clone(&reconstruction),
                layout,
            ),
            blobs: Blobs::new(
                ledger.clone(),
                Arc::clone(&clock),
                Arc::clone(&requests),
                Arc::clone(&transactions),
                Arc::clone(&nodes),
                settings.overwrite,
            ),
            values: Values::new(ledger.clone(), Arc::clone(&requests)),
            watchers: Watchers::new(ledger.clone(), Arc::clone(&clock)),
            requests,
            opener: Opener::new(
                ledger.clone(),
                Arc::clone(&clock),
                Arc::clone(&sessions),
                Arc::clone(&nodes),
                Arc::clone(&transactions),
                &settings,
            ),
            aborter: Aborter::new(ledger.clone(), Arc::clone(&sessions), Arc::clone(&nodes), Arc::clone(&transactions)),
            namer: Namer::new(
                ledger.clone(),
                Arc::clone(&clock),
                Arc::clone(&nodes),
                Arc::clone(&transactions),
                layout.cell_size_bytes() as u64,
            ),
            census,
            inspector: Arc::new(Inspector::new(
                ledger.clone(),
                Arc::clone(&clock),
                Arc::clone(&nodes),
                Arc::clone(&reconstruction),
                settings.repair.grace,
                Arc::clone(&sweep_wanted),
            )),
            reconstruction,
            sweep_wanted,
            ledger,
            clock,
            settings,
            cluster,
            sessions,
            transactions,
            nodes,
        }
    }

    /// Starts the heartbeats and the jobs; they end with `stop`.
    pub fn start(self: &Arc<Self>, stop: &CancellationToken) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&self.nodes).watch(stop.clone()));
        tasks.spawn(Arc::clone(&self.nodes).keep_records(stop.clone()));
        tasks.spawn(self.collection().run(stop.clone()));
        tasks.spawn(Arc::clone(&self.reconstruction).run(stop.clone()));
        tasks.spawn(Arc::clone(&self.rebalancing).run(stop.clone()));
        tasks.spawn(Arc::clone(self).watch_sessions(stop.clone()));
        match self.orphan_sweep() {
            Ok(sweep) => drop(tasks.spawn(sweep.run(stop.clone()))),
            Err(error) => tracing::error!(%error, "no orphans are swept in this election"),
        }
        tasks
    }

    /// The orphan sweep of this election.
    pub fn orphan_sweep(&self) -> Result<OrphanSweep, StateError> {
        OrphanSweep::load(
            self.ledger.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.nodes),
            Arc::clone(&self.reconstruction),
            self.settings.orphan_sweep_period,
            Arc::clone(&self.sweep_wanted),
        )
    }

    /// Looks at once for all that is missing, in records and on nodes, and rebuilds it without waiting for what was put
    /// off. Answers what is missing by the records; what nodes lack is found page by page after that.
    pub async fn start_healing(&self) -> Result<wire::StartHealingResponse, Failure> {
        self.reconstruction.start_now().await?;
        self.sweep_wanted.notify_one();
        let found = self.reconstruction.report();
        Ok(wire::StartHealingResponse { pending: found.pending, pending_bytes: found.pending_bytes })
    }

    /// Compares records with what nodes keep.
    pub fn inspector(&self) -> &Arc<Inspector> {
        &self.inspector
    }

    /// The garbage collection of this election.
    pub fn collection(&self) -> Collection {
        Collection::new(
            self.ledger.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.sessions),
            Arc::clone(&self.nodes),
            self.settings.collection_grace,
        )
    }

    /// What is missing of segments, and its rebuilding.
    pub fn reconstruction(&self) -> &Arc<Reconstruction> {
        &self.reconstruction
    }

    /// The evening out of nodes.
    pub fn rebalancing(&self) -> &Rebalancing {
        &self.rebalancing
    }

    /// What an administrator has nodes do.
    pub fn administration(&self) -> &NodeAdministration {
        &self.administration
    }

    async fn watch_sessions(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            if let Err(error) = self.expire_sessions().await {
                tracing::warn!(%error, "silent sessions end in the next round");
            }
        }
    }

    /// The epoch of the election.
    pub fn epoch(&self) -> Epoch {
        self.ledger.epoch()
    }

    /// Refuses once the lease is over.
    pub fn check_standing(&self) -> Result<(), Refusal> {
        self.ledger.check_standing(self.clock.now())
    }

    /// Registers a client.
    pub async fn open_session(&self, request: wire::OpenSessionRequest) -> Result<wire::OpenSessionResponse, Failure> {
        let session = self.sessions.open(request.host, request.purpose).await?;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Ok(wire::OpenSessionResponse {
            session: session.0,
            cluster: self.cluster.to_wire(),
            timeout_ms: millis(self.settings.session_timeout),
            heartbeat_interval_ms: millis(self.settings.session_heartbeat),
            applied_index: session.0,
            default_layout: Some(wire_layout(&self.settings.default_layout)),
            write_once: self.settings.overwrite == Overwrite::Worm,
        })
    }

    /// Takes a heartbeat.
    pub fn heartbeat(&self, request: wire::HeartbeatRequest) -> Result<wire::HeartbeatResponse, Failure> {
        let session = SessionId(request.session);
        let report = Report::try_from(&request)?;
        let named = NamedTransaction::all(session, request.transactions)?;
        self.sessions.hear(session, report)?;
        self.namer.name(session, &named)?;
        Ok(wire::HeartbeatResponse { applied_index: self.ledger.view()?.applied_index() })
    }

    /// Ends a session because its client asks.
    pub async fn close_session(&self, session: SessionId) -> Result<(), Failure> {
        self.sessions.close(session).await?;
        self.forget(session);
        Ok(())
    }

    /// Ends sessions that were silent for too long.
    pub async fn expire_sessions(&self) -> Result<(), Failure> {
        for session in self.sessions.expire().await? {
            self.forget(session);
        }
        Ok(())
    }

    fn forget(&self, session: SessionId) {
        self.transactions.remove_session(session);
        self.nodes.admissions().forget(session);
        self.requests.forget(session);
    }

    /// Opens a transaction.
    pub async fn open_transaction(&self, request: OpenRequest) -> Result<wire::OpenTransactionResponse, Failure> {
        self.opener.open(request).await
    }

    /// A node in place of one that a transaction lost.
    pub async fn replace_target(&self, request: ReplaceRequest) -> Result<wire::ReplaceTargetResponse, Failure> {
        self.sessions.table().check(request.session())?;
        self.namer.note(&request.open)?;
        let target = self.opener.replace(&request).await?;
        Ok(wire::ReplaceTargetResponse { target: Some(target) })
    }

    /// Aborts a transaction.
    pub async fn abort_transaction(&self, request: AbortRequest) -> Result<(), Failure> {
        self.aborter.abort(request).await
    }

    /// Keys and blobs.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// The key-value service.
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Those who watch keys.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Storage nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Open transactions.
    pub fn transactions(&self) -> &TransactionTable {
        &self.transactions
    }

    /// How the cluster is, but for the masters.
    pub async fn status(&self) -> Result<wire::GetStatusResponse, Failure> {
        let census = self.census.census().await?;
        let layout = &self.settings.default_layout;
        let (free, limits) = self.nodes.rooms();
        Ok(wire::GetStatusResponse {
            cluster: self.cluster.to_wire(),
            masters: Vec::new(),
            nodes: self.nodes.infos(),
            redundancy: census
                .redundancy
                .into_iter()
                .map(|(spare_chunks, blobs)| wire::RedundancyCount { spare_chunks, blobs })
                .collect(),
            lost_blobs: census.lost_blobs,
            lost_keys: census.lost_keys,
            domain_levels: census
                .levels
                .into_iter()
                .filter(|(level, _)| level.domains > 1)
                .map(|(level, endangered_blobs)| wire::DomainLevel {
                    label: level.label,
                    domains: level.domains as u64,
                    endangered_blobs,
                })
                .collect(),
            keys: census.keys,
            stored_bytes: census.stored_bytes,
            free_bytes: placeable_bytes(&free, layout),
            total_bytes: placeable_bytes(&limits, layout),
            pending_repairs: census.pending_repairs.max(self.reconstruction.pending() as u64),
            sessions: self.sessions.table().len() as u64,
            open_transactions: self.transactions.len() as u64,
            default_layout: Some(wire_layout(layout)),
        })
    }
}
