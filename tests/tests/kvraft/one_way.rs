//! With an elected master that is heard and hears nothing, or the other way round. Neither may go on serving, and
//! another one has to take over.

use std::time::Duration;

use cairn_tests::Machine;
use cairn_tests::history::History;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::network::Place;
use cairn_tests::recording_client::RecordingClient;
use cairn_tests::store_group::{GroupOptions, StoreGroup};
use tokio::time::timeout;

use crate::LONG_LOG;
use crate::generic::connect;
use crate::load::{Load, Orders, chance};

/// How soon another master serves.
const TAKE_OVER: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn test_elected_master_is_heard_and_hears_nothing() {
    cut_one_way(|elected, other| (other, elected)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_elected_master_hears_and_is_not_heard() {
    cut_one_way(|elected, other| (elected, other)).await;
}

async fn cut_one_way(direction: impl Fn(Place, Place) -> (Place, Place)) {
    let _machine = Machine::alone();
    let group = StoreGroup::start(&GroupOptions { size: 5, limits: LONG_LOG, seed: rand::random() }).await;
    let history = History::default();
    let elected = group.elected().await;
    let load = Load::start(connect(&group, 0, 5, &history).await, on_one_key);
    load.under_way().await;
    for other in group.ids().into_iter().filter(|id| *id != elected) {
        let (from, to) = direction(Place::Master(elected), Place::Master(other));
        group.network().cut(from, to);
    }
    load.stop();
    timeout(TAKE_OVER, load.ended()).await.expect("another master serves");
    let after = RecordingClient::new(6, group.client(6).await, &history);
    timeout(TAKE_OVER, after.append("k", "after")).await.expect("another master serves");
    assert_ne!(group.elected().await, elected);
    group.network().heal();
    assert!(after.get("k").await.ends_with("after"));
    assert!(group.network().troubles().cut_off > 0, "void: no cut met a request");
    check(&history.operations(), STEPS_LIMIT).unwrap();
}

async fn on_one_key(client: RecordingClient, orders: Orders) {
    let mut appended = 0;
    loop {
        if chance(50) {
            let token = format!("x {} {appended} y", client.id());
            appended += 1;
            client.append("k", token).await;
        } else {
            client.get("k").await;
        }
        if !orders.go_on() {
            return;
        }
    }
}
