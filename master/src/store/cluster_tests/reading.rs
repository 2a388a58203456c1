//! Linearizable reads of a real group.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::super::{LogOptions, Store};
use super::harness::{Cluster, LONG_LEASE};
use super::put;
use crate::ledger::Ledger;

const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_read_covers_every_command_answered_before_it() {
    for size in [1, 3] {
        let cluster = Cluster::start_with(size, LogOptions::default(), LONG_LEASE).await;
        let (elected, epoch) = cluster.steady().await;
        for written in 0..50 {
            let committed = elected.commit(epoch, put("key/a", &written.to_string())).await.unwrap();
            let index = timeout(PATIENCE, elected.read_index()).await.unwrap().expect("it leads a whole group");
            assert!(index >= committed.index, "{index} misses what was answered at {}", committed.index);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_confirms_no_read_once_its_majority_is_gone_however_long_its_lease() {
    let mut cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, _) = cluster.steady().await;
    let leader = cluster.number_of(&elected);
    assert!(timeout(PATIENCE, elected.read_index()).await.unwrap().is_some());
    for number in (0..3).filter(|number| *number != leader) {
        cluster.kill(number).await;
    }
    assert_eq!(timeout(PATIENCE, elected.read_index()).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_does_not_lead_raft_still_reads_what_was_written_last() {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    let (elected, epoch) = cluster.steady().await;
    cluster.lead_raft((cluster.number_of(&elected) + 1) % 3).await;
    let ledger = Ledger::new(Arc::clone(&elected) as Arc<dyn Store>, epoch);
    for written in 0..10 {
        let value = written.to_string();
        elected.commit(epoch, put("key/a", &value)).await.unwrap();
        assert_eq!(timeout(PATIENCE, elected.read_index()).await, Ok(None), "it does not lead");
        let view = timeout(PATIENCE, ledger.linearizable_view()).await.unwrap().expect("it holds the lease");
        assert_eq!(view.get(b"key/a").unwrap().unwrap().value, value);
    }
}
