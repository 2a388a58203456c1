use std::fmt;
use std::future::pending;
use std::sync::Arc;

use cairn_codec::Layout;
use cairn_master::blobs::Overwrite;
use cairn_master::clock::SystemClock;
use cairn_master::jobs::RepairSettings;
use cairn_master::nodes::NodeTiming;
use cairn_master::scheduler::Score;
use cairn_master::store::{LogLimits, ReplicatedStore, StoreOptions};
use cairn_master::tenure::Settings;
use cairn_master::{Master, TimingConfig};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::PATIENCE;
use super::service::{Service, Services};
use crate::network::{Network, Place};

/// One master that runs.
pub(super) struct Host {
    pub(super) runtime: Runtime,
    pub(super) booted: Booted,
}

/// What runs on a master's runtime.
pub(super) struct Booted {
    pub(super) store: Arc<ReplicatedStore>,
    serving: JoinHandle<()>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("store", &self.booted.store.master_id()).finish_non_exhaustive()
    }
}

/// Opens a master and has it take part until its runtime ends.
pub(super) async fn boot(options: StoreOptions, limits: LogLimits, network: Network, service: Service) -> Booted {
    let (place, address) = (Place::Master(options.master), options.address.clone());
    let opened = Master::open_with(options, limits, Arc::new(SystemClock), settings()).await;
    let master = opened.unwrap_or_else(|error| panic!("{place:?}: {error}"));
    let (store, served) = (Arc::clone(master.store()), Arc::clone(master.store()));
    let serving = tokio::spawn(async move {
        let serve = |routes, stop| async move {
            network.serve(place, &address, Services::new(service, routes, served), stop).await
        };
        let ended = master.run(serve, pending()).await;
        panic!("{place:?} ended by itself: {ended:?}");
    });
    Booted { store, serving }
}

/// As a daemon's with a configuration that names no times.
fn settings() -> Settings {
    let timing = TimingConfig::default();
    Settings {
        default_layout: Layout::DEFAULT,
        score: Score::default(),
        datacenter_labels: Vec::new(),
        overwrite: Overwrite::Replace,
        session_heartbeat: timing.session_heartbeat,
        session_timeout: timing.session_timeout,
        nodes: NodeTiming { heartbeat: timing.node_heartbeat, suspect: timing.node_suspect, dead: timing.node_dead },
        collection_grace: timing.collection_grace,
        orphan_sweep_period: timing.orphan_sweep_period,
        repair: RepairSettings { grace: timing.repair_grace, bytes_per_second: 0, score: Score::default() },
    }
}

impl Host {
    /// Ends every task, then waits until the databases are closed.
    pub(super) fn end(self) {
        let Self { runtime, booted: Booted { store, serving } } = self;
        assert!(!serving.is_finished(), "a master ended by itself");
        let closed = store.closed();
        runtime.shutdown_timeout(PATIENCE);
        drop(store);
        let waiting = Builder::new_current_thread().enable_time().build().expect("a runtime can be made");
        waiting.block_on(async {
            for mut closed in closed {
                let closing = async { while closed.changed().await.is_ok() {} };
                timeout(PATIENCE, closing).await.expect("a database of a crashed master is closed");
            }
        });
    }
}
