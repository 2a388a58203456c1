use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use cairn_master::store::{ReplicatedStore, Standing, Store};
use parking_lot::Mutex;
use tokio::sync::watch;

/// The masters that run now.
#[derive(Clone)]
pub struct Directory {
    running: Arc<Mutex<BTreeMap<u64, Arc<ReplicatedStore>>>>,
    changes: watch::Sender<()>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { running: Arc::default(), changes: watch::Sender::new(()) }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.running.lock().keys()).finish()
    }
}

impl Directory {
    pub(super) fn enter(&self, id: u64, store: Arc<ReplicatedStore>) {
        self.running.lock().insert(id, store);
        self.changes.send_replace(());
    }

    pub(super) fn leave(&self, id: u64) {
        self.running.lock().remove(&id);
        self.changes.send_replace(());
    }

    pub(super) fn store(&self, id: u64) -> Option<Arc<ReplicatedStore>> {
        self.running.lock().get(&id).cloned()
    }

    /// The master that is elected by its own account. Where two think so, one of them is cut off and late to notice.
    pub fn elected_now(&self) -> Option<u64> {
        let running = self.running.lock();
        let elected = running.iter().find(|(_, store)| is_elected(&store.standing().borrow()));
        elected.map(|(id, _)| *id)
    }

    /// Waits until a master is elected.
    pub async fn elected(&self) -> u64 {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(id) = self.elected_now() {
                return id;
            }
            let standings: Vec<_> = self.running.lock().values().map(|store| store.standing()).collect();
            let elections = standings.into_iter().map(|mut standing| {
                Box::pin(async move {
                    if standing.wait_for(is_elected).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                })
            });
            let elections: Vec<_> = elections.collect();
            if elections.is_empty() {
                changes.changed().await.expect("the directory lives");
                continue;
            }
            tokio::select! {
                _ = futures_util::future::select_all(elections) => {}
                notice = changes.changed() => notice.expect("the directory lives"),
            }
        }
    }
}

fn is_elected(standing: &Standing) -> bool {
    matches!(standing, Standing::Elected { .. })
}
