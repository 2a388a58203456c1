//! Clients on shared keys under all faults at once; the history is checked.

use cairn_tests::Machine;
use cairn_tests::history::History;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::recording_client::RecordingClient;
use cairn_tests::scale::Scale;
use cairn_tests::store_group::{GroupOptions, PATIENCE, StoreGroup};
use rand::RngExt;
use tokio::time::timeout;

use crate::generic::{Generic, connect};
use crate::load::{Load, Orders, chance};

const CLIENTS: u64 = 15;
const ALL_FAULTS: Generic =
    Generic { servers: 7, clients: CLIENTS, unreliable: true, crashes: true, partitions: true, snapshots: false };

#[tokio::test(flavor = "multi_thread")]
async fn test_persist_partition_unreliable_linearizable() {
    run(ALL_FAULTS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_snapshot_unreliable_recover_concurrent_partition_linearizable() {
    run(Generic { snapshots: true, ..ALL_FAULTS }).await;
}

async fn run(faults: Generic) {
    let _machine = Machine::alone();
    let scale = Scale::from_environment();
    let options = GroupOptions { size: faults.servers, limits: faults.limits(), seed: rand::random() };
    println!("seed of the network {}", options.seed);
    let mut group = StoreGroup::start(&options).await;
    group.elected().await;
    let history = History::default();
    for iteration in 0..u64::from(scale.iterations) {
        let clients = connect(&group, iteration * CLIENTS, CLIENTS, &history).await;
        let load = Load::start(clients, on_shared_keys);
        faults.fault(&mut group, &load, scale.iteration).await;
        timeout(PATIENCE, load.ended()).await.expect("every operation is answered in the end");
        faults.check_logs(&group);
    }
    faults.check_faults(&group, u64::from(scale.iterations));
    println!("{} operations answered", history.answered_count());
    check(&history.operations(), STEPS_LIMIT).unwrap();
}

/// Half appends, one put in twenty, gets otherwise; each on one of as many keys as there are clients.
async fn on_shared_keys(client: RecordingClient, orders: Orders) {
    let mut written = 0;
    loop {
        let key = rand::rng().random_range(0..CLIENTS).to_string();
        let token = format!("x {} {written} y", client.id());
        written += 1;
        if chance(50) {
            client.append(&key, token).await;
        } else if chance(10) {
            client.put(&key, token).await;
        } else {
            client.get(&key).await;
        }
        if !orders.go_on() {
            return;
        }
    }
}
