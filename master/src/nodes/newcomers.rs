use std::collections::BTreeSet;

use cairn_proto::ids::NodeId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Nodes that have joined and are to be asked at once: at most as many as are registered.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    ids: Mutex<BTreeSet<NodeId>>,
    arrival: Notify,
}

impl Newcomers {
    /// A node has joined.
    pub(super) fn add(&self, id: NodeId) {
        self.ids.lock().insert(id);
        self.arrival.notify_one();
    }

    /// Those that have joined since the last call, once there are any.
    pub(super) async fn next(&self) -> BTreeSet<NodeId> {
        self.arrival.notified().await;
        std::mem::take(&mut *self.ids.lock())
    }
}
