use std::fmt;
use std::sync::Arc;

use cairn_master::store::{LogLimits, ReplicatedStore, StoreOptions, open_with};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use super::PATIENCE;
use crate::network::{Network, Place};

/// One master that runs.
pub(super) struct Host {
    pub(super) runtime: Runtime,
    pub(super) store: Arc<ReplicatedStore>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("store", &self.store.master_id()).finish_non_exhaustive()
    }
}

/// Opens the store and serves what masters say to one another.
pub(super) async fn boot(options: StoreOptions, limits: LogLimits, network: Network) -> Arc<ReplicatedStore> {
    let (place, address) = (Place::Master(options.master), options.address.clone());
    let (store, raft) = open_with(options, limits).await.unwrap_or_else(|error| panic!("{place:?}: {error}"));
    let routes = Routes::new(raft.into_server());
    tokio::spawn(async move { network.serve(place, &address, routes, CancellationToken::new()).await });
    store
}

impl Host {
    /// Ends every task, then waits until the databases are closed.
    pub(super) fn end(self) {
        let Self { runtime, store } = self;
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

    /// Ends it without waiting.
    pub(super) fn abandon(self) {
        self.runtime.shutdown_background();
    }
}
