//! Without crashes and partitions.

use cairn_tests::Machine;
use cairn_tests::history::History;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::network::Rates;
use cairn_tests::recording_client::RecordingClient;
use cairn_tests::store_group::{GroupOptions, StoreGroup};
use tokio::task::JoinSet;

use crate::LONG_LOG;
use crate::generic::{Generic, connect};

#[tokio::test(flavor = "multi_thread")]
async fn test_basic() {
    Generic { clients: 1, ..Generic::RELIABLE }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_concurrent() {
    Generic::RELIABLE.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_unreliable() {
    Generic { unreliable: true, ..Generic::RELIABLE }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_unreliable_one_key() {
    const CLIENTS: u64 = 5;
    const APPENDS: u64 = 10;
    let _machine = Machine::alone();
    let options = GroupOptions { size: 3, limits: LONG_LOG, seed: rand::random() };
    println!("seed of the network {}", options.seed);
    let group = StoreGroup::start(&options).await;
    group.elected().await;
    group.network().set_rates(Rates::UNRELIABLE);
    let history = History::default();
    let reader = RecordingClient::new(0, group.client(0).await, &history);
    reader.put("k", "").await;
    let mut appending = JoinSet::new();
    for client in connect(&group, 0, CLIENTS, &history).await {
        appending.spawn(async move {
            for number in 0..APPENDS {
                let token = format!("x {} {number} y", client.id());
                client.append("k", token).await;
            }
        });
    }
    appending.join_all().await;
    let value = reader.get("k").await;
    for client in 1..=CLIENTS {
        let places: Vec<usize> = (0..APPENDS)
            .map(|number| {
                let token = format!("x {client} {number} y");
                assert_eq!(value.matches(&token).count(), 1, "{token:?} in {value:?}");
                value.find(&token).unwrap()
            })
            .collect();
        assert!(places.is_sorted(), "client {client} in {value:?}");
    }
    let troubles = group.network().troubles();
    assert!(troubles.requests_lost > 0 && troubles.answers_lost > 0, "void: nothing was lost");
    check(&history.operations(), STEPS_LIMIT).unwrap();
}
