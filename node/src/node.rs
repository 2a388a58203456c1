use std::sync::Arc;

use cairn_proto::ids::{BootId, ClusterId, IncarnationId, NodeId};
use cairn_proto::{Refusal, StatsVersions, records, wire};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::admission::Admission;
use crate::background::Background;
use crate::fatal::Fatal;
use crate::home::Home;
use crate::identity::IdentityError;
use crate::orders::{Order, Orders};
use crate::rebuild::Peers;
use crate::relay::Relays;
use crate::scrub::Scrubs;
use crate::store::{MemoryShares, StoreError};
use crate::stores::Stores;

/// What the services and the registration of one node share.
pub(crate) struct Node {
    pub(crate) stores: Arc<Stores>,
    pub(crate) admission: Admission,
    pub(crate) fatal: Fatal,
    pub(crate) scrubs: Arc<Scrubs>,
    /// One permit for each stream that is being read.
    pub(crate) reads: Arc<Semaphore>,
    /// One permit for each of them that nobody waits for: the others are left to clients.
    pub(crate) background_reads: Arc<Semaphore>,
    pub(crate) relays: Arc<Relays>,
    pub(crate) peers: Peers,
    /// What work costs that nobody waits for.
    pub(crate) background: Arc<Background>,
    /// One permit for each chunk that is being rebuilt. The elected master bounds how many wait.
    pub(crate) rebuilds: Semaphore,
    pub(crate) stats_versions: StatsVersions,
    id: NodeId,
    incarnation: IncarnationId,
    name: String,
    address: String,
    locality: Vec<wire::Label>,
    home: Mutex<Home>,
    orders: Orders,
    polled: watch::Sender<Instant>,
}

/// How a node presents itself.
pub(crate) struct Presence {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) locality: Vec<wire::Label>,
}

impl Node {
    pub(crate) fn new(
        home: Home,
        stores: Arc<Stores>,
        presence: Presence,
        shares: MemoryShares,
        relays: Relays,
        fatal: Fatal,
        scrubs: Arc<Scrubs>,
    ) -> Result<Self, StoreError> {
        let identity = home.identity();
        Ok(Self {
            admission: Admission::new(BootId::generate()),
            fatal,
            background: Arc::clone(scrubs.background()),
            scrubs,
            reads: Arc::new(Semaphore::new(shares.read_streams)),
            background_reads: Arc::new(Semaphore::new(shares.read_streams / 2)),
            relays: Arc::new(relays),
            peers: Peers::new(),
            rebuilds: Semaphore::new(shares.rebuilds),
            stats_versions: StatsVersions::default(),
            id: identity.node,
            incarnation: identity.incarnation,
            name: presence.name,
            address: presence.address,
            locality: presence.locality,
            home: Mutex::new(home),
            orders: Orders::open(Arc::clone(&stores))?,
            polled: watch::Sender::new(Instant::now()),
            stores,
        })
    }

    pub(crate) fn id(&self) -> NodeId {
        self.id
    }

    pub(crate) fn incarnation(&self) -> IncarnationId {
        self.incarnation
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.home.lock().identity().cluster
    }

    /// Settles the cluster for ever; durable on return.
    pub(crate) fn adopt(&self, cluster: ClusterId) -> Result<(), IdentityError> {
        self.home.lock().adopt(cluster)
    }

    /// The node as its masters should know it.
    pub(crate) fn info(&self) -> Result<wire::NodeInfo, StoreError> {
        Ok(wire::NodeInfo::from(&records::Node {
            id: self.id,
            incarnation: self.incarnation,
            boot: self.admission.boot(),
            name: self.name.clone(),
            address: self.address.clone(),
            locality: self.locality.clone(),
            devices: self.stores.usage()?,
            state: wire::NodeState::Active,
            intended_state: wire::NodeState::Active,
            maintenance: None,
            drained_from_bytes: 0,
        }))
    }

    /// Checks an order that tells the node to do something.
    pub(crate) async fn obey(&self, order: Option<wire::Order>) -> Result<(), Refusal> {
        let order = checked(order)?;
        order.require_cluster(self.cluster())?;
        order.require_incarnation(self.incarnation)?;
        self.orders.obey(&order).await
    }

    /// Checks a question of the elected master, which may not know the incarnation yet, and takes note
    /// that it polls.
    pub(crate) async fn answer(&self, order: Option<wire::Order>) -> Result<(), Refusal> {
        let order = checked(order)?;
        order.require_cluster(self.cluster())?;
        self.orders.obey(&order).await?;
        self.polled.send_replace(Instant::now());
        Ok(())
    }

    /// Changes each time the elected master polls.
    pub(crate) fn polled(&self) -> watch::Receiver<Instant> {
        self.polled.subscribe()
    }
}

fn checked(order: Option<wire::Order>) -> Result<Order, Refusal> {
    order.ok_or_else(|| Refusal::InvalidRequest { why: "order is missing".to_owned() })?.try_into()
}
