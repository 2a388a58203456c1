//! With masters that cannot reach one another.

use std::time::Duration;

use cairn_tests::Machine;
use cairn_tests::history::History;
use cairn_tests::linearizability::{STEPS_LIMIT, check};
use cairn_tests::network::Place;
use cairn_tests::recording_client::RecordingClient;
use cairn_tests::store_group::{GroupOptions, StoreGroup};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::LONG_LOG;
use crate::generic::Generic;

/// How long the minority is watched: nothing of it may finish.
const NO_PROGRESS: Duration = Duration::from_secs(1);
/// How soon after the partition what had begun in the minority is done.
const COMPLETION: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn test_one_partition() {
    let _machine = Machine::alone();
    let group = StoreGroup::start(&GroupOptions { size: 5, limits: LONG_LOG, seed: rand::random() }).await;
    let history = History::default();
    let client = async |id| RecordingClient::new(id, group.client(id).await, &history);
    client(1).await.put("1", "13").await;
    // With a session before the partition, so that what the minority gets is the put itself.
    let (writer, reader) = (client(3).await, client(4).await);
    writer.put("1", "13 again").await;

    let (minority, majority) = split_off(&group, group.elected().await);
    tie(&group, 2, &majority);
    let in_majority = client(2).await;
    in_majority.put("1", "14").await;
    assert_eq!(in_majority.get("1").await, "14", "progress in the majority");

    tie(&group, 3, &minority);
    tie(&group, 4, &minority);
    let put: JoinHandle<()> = tokio::spawn(async move { writer.put("1", "15").await });
    let get: JoinHandle<String> = tokio::spawn(async move { reader.get("1").await });
    sleep(NO_PROGRESS).await;
    assert!(!put.is_finished(), "a put in the minority has finished");
    assert!(!get.is_finished(), "a get in the minority has finished");
    assert_eq!(in_majority.get("1").await, "14");
    in_majority.put("1", "16").await;

    group.network().heal();
    sleep(Duration::from_secs(1)).await;
    timeout(COMPLETION, put).await.expect("the put is done after the partition").unwrap();
    let read = timeout(COMPLETION, get).await.expect("the get is done after the partition").unwrap();
    assert!(["15", "16"].contains(&read.as_str()), "read {read}");
    assert_eq!(client(5).await.get("1").await, "15");
    assert!(group.network().troubles().cut_off > 0, "void: no partition met a request");
    check(&history.operations(), STEPS_LIMIT).unwrap();
}

/// Cuts the elected master and one more off from the other masters.
fn split_off(group: &StoreGroup, elected: u64) -> (Vec<u64>, Vec<u64>) {
    let other = group.ids().into_iter().find(|id| *id != elected).unwrap();
    let (minority, majority): (Vec<u64>, Vec<u64>) =
        group.ids().into_iter().partition(|id| [elected, other].contains(id));
    group.network().partition(&[&minority, &majority]);
    (minority, majority)
}

/// Lets a client reach only these masters.
fn tie(group: &StoreGroup, client: u64, masters: &[u64]) {
    for other in group.ids().into_iter().filter(|id| !masters.contains(id)) {
        group.network().cut(Place::Client(client), Place::Master(other));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn test_many_partitions_one_client() {
    Generic { clients: 1, partitions: true, ..Generic::RELIABLE }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_many_partitions_many_clients() {
    Generic { partitions: true, ..Generic::RELIABLE }.run().await;
}
