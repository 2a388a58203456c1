use cairn_master::store::LogLimits;

use super::{GroupOptions, StoreGroup};
use crate::history::History;
use crate::recording_client::RecordingClient;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_when_every_master_crashed() {
    let limits = LogLimits { snapshot_every: 50, kept_log: 10, replication_lag: 100, purge_batch: 1 };
    let mut group = StoreGroup::start(&GroupOptions { size: 3, limits, seed: 1 }).await;
    let client = RecordingClient::new(1, group.client(1).await, &History::default());
    client.append("k", "a").await;
    client.append("k", "b").await;
    for id in group.ids() {
        group.crash(id).await;
    }
    assert!(group.directory().elected_now().is_none());
    for id in group.ids() {
        group.restart(id).await;
    }
    assert_eq!(client.get("k").await, "ab");
    assert_eq!(group.crashes(), 3);
}
