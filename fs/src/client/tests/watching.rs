use std::time::{Duration, Instant};

use cairn_proto::ids::BlobId;
use cairn_proto::records::KeyEvent;
use cairn_proto::wire::ChangeKind;
use cairn_proto::{Refusal, wire};

use super::small_layout;
use crate::client::testing::{FakeCluster, FakeMaster, MasterFault, ToldEnd, ToldWatcher, bytes, key, put};
use crate::client::{Client, ClientError, ClientOptions, Precondition, WatchEvent};

fn change(index: u64, name: &str, kind: ChangeKind) -> wire::KeyChange {
    let attributes = Some(wire::Attributes::default());
    let entry = wire::KeyEntry { blob: BlobId::generate().to_wire(), serial: index, size_bytes: 1, attributes };
    let entry = (kind != ChangeKind::Removed).then_some(entry);
    wire::KeyChange { index, key: name.to_owned(), kind: kind.into(), entry }
}

fn message(applied_index: u64, changes: Vec<wire::KeyChange>) -> wire::WatchResponse {
    wire::WatchResponse { changes, applied_index }
}

fn created(index: u64, name: &str) -> wire::WatchResponse {
    message(index, vec![change(index, name, ChangeKind::Created)])
}

fn tell(master: &FakeMaster, messages: Vec<wire::WatchResponse>, end: ToldEnd) {
    master.state.lock().watches.push_back(ToldWatcher { messages, end });
}

/// Indexes and keys of changes, and the index they are complete up to.
fn told(event: WatchEvent) -> (Vec<(u64, String)>, u64) {
    let WatchEvent::Changes { changes, applied_index } = event else { panic!("{event:?} tells no changes") };
    (changes.into_iter().map(|change| (change.index, change.key.to_string())).collect(), applied_index)
}

fn asked_from(master: &FakeMaster) -> Vec<Option<u64>> {
    master.state.lock().watched.iter().map(|request| request.after_index).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_begins_and_tells_what_follows() {
    let cluster = FakeCluster::start(small_layout()).await;
    let changes = vec![change(12, "a", ChangeKind::Removed), change(12, "b", ChangeKind::Created)];
    tell(&cluster.master, vec![message(11, vec![]), message(12, changes), message(15, vec![])], ToldEnd::Silence);
    cluster.master.state.lock().index = 15;
    let client = cluster.client().await;
    let mut watch = client.watch("?");
    assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: 11 }));
    let WatchEvent::Changes { changes, applied_index: 12 } = watch.next().await.unwrap() else { panic!("no change") };
    assert_eq!((changes[0].key.as_str(), changes[0].event), ("a", KeyEvent::Removed));
    assert_eq!(changes[1].event.entry().unwrap().serial, 12);
    assert_eq!(told(watch.next().await.unwrap()), (vec![], 15));
    assert_eq!(cluster.master.state.lock().watched[0].pattern, "?");
    assert_eq!(client.entry(&key("key")).await, Ok(None), "the fake refuses an index that it has not reached");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_come_with_the_beginning_are_told_after_it() {
    let cluster = FakeCluster::start(small_layout()).await;
    tell(&cluster.master, vec![created(12, "a")], ToldEnd::Silence);
    let mut watch = cluster.client().await.watch("");
    assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: 11 }));
    assert_eq!(told(watch.next().await.unwrap()), (vec![(12, "a".to_owned())], 12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_breaks_off_goes_on_where_it_was_and_at_the_next_master() {
    let cluster = FakeCluster::start(small_layout()).await;
    let next = FakeMaster::start(small_layout(), Vec::new()).await;
    tell(&cluster.master, vec![message(11, vec![]), created(12, "a")], ToldEnd::Break);
    let elected = next.address.clone();
    tell(&cluster.master, vec![created(13, "b")], ToldEnd::Refusal(Refusal::NotElected { elected: elected.clone() }));
    tell(&next, vec![created(14, "c")], ToldEnd::Silence);
    let masters = vec![cluster.master.address.clone(), elected.clone()];
    let client = Client::connect(ClientOptions { masters, ..cluster.options() }).await.unwrap();
    let mut watch = client.watch("");
    assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: 11 }));
    assert_eq!(told(watch.next().await.unwrap()), (vec![(12, "a".to_owned())], 12));
    assert_eq!(told(watch.next().await.unwrap()), (vec![(13, "b".to_owned())], 13));
    cluster.master.fail(MasterFault::NotElected(elected));
    assert_eq!(told(watch.next().await.unwrap()), (vec![(14, "c".to_owned())], 14));
    assert_eq!(asked_from(&cluster.master), [None, Some(12)]);
    assert_eq!(asked_from(&next), [Some(13)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_history_is_told_and_the_watch_begins_anew() {
    let cluster = FakeCluster::start(small_layout()).await;
    let lost = Refusal::HistoryLost { lost: "20".to_owned() };
    tell(&cluster.master, vec![message(11, vec![])], ToldEnd::Refusal(lost));
    tell(&cluster.master, vec![message(25, vec![]), created(26, "a")], ToldEnd::Silence);
    let mut watch = cluster.client().await.watch("");
    assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: 11 }));
    assert_eq!(watch.next().await, Ok(WatchEvent::HistoryLost { applied_index: 25 }));
    assert_eq!(told(watch.next().await.unwrap()), (vec![(26, "a".to_owned())], 26));
    assert_eq!(asked_from(&cluster.master), [None, None]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_falls_silent_is_noticed_and_nothing_is_missed() {
    let cluster = FakeCluster::start(small_layout()).await;
    tell(&cluster.master, vec![message(11, vec![])], ToldEnd::Silence);
    tell(&cluster.master, vec![created(12, "a")], ToldEnd::Silence);
    let mut watch = cluster.client().await.watch("");
    let start = Instant::now();
    assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: 11 }));
    assert_eq!(watch.next().await, Ok(WatchEvent::CutOff));
    assert!(start.elapsed() >= Duration::from_secs(3), "a silence of {:?} is none", start.elapsed());
    assert_eq!(told(watch.next().await.unwrap()), (vec![(12, "a".to_owned())], 12));
    assert_eq!(asked_from(&cluster.master), [None, Some(11)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_master_sends_is_refused() {
    for message in [
        created(11, "told before"),
        message(13, vec![change(13, "a", ChangeKind::Created), change(12, "b", ChangeKind::Created)]),
        message(12, vec![change(13, "a", ChangeKind::Created)]),
        message(12, vec![change(12, "", ChangeKind::Removed)]),
        message(12, vec![wire::KeyChange { entry: None, ..change(12, "a", ChangeKind::Created) }]),
        message(10, vec![]),
    ] {
        let cluster = FakeCluster::start(small_layout()).await;
        tell(&cluster.master, vec![self::message(11, vec![]), message], ToldEnd::Silence);
        let mut watch = cluster.client().await.watch("");
        assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: 11 }));
        let error = watch.next().await.unwrap_err();
        assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_refused_fails_with_the_reason() {
    let cluster = FakeCluster::start(small_layout()).await;
    tell(&cluster.master, vec![], ToldEnd::Refusal(Refusal::TooManyWatchers { limit: "3".to_owned() }));
    let error = cluster.client().await.watch("").next().await.unwrap_err();
    assert!(matches!(&error, ClientError::Refused { why, .. } if why.contains('3')), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_knows_its_own_changes_again() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    put(&client, "key", &bytes(100)).await.unwrap();
    let committed = cluster.master.state.lock().index;
    client.delete(&key("key"), Precondition::None).await.unwrap();
    let deleted = cluster.master.state.lock().index;
    assert!(client.made_change(committed) && client.made_change(deleted));
    put(&cluster.client().await, "key", &bytes(100)).await.unwrap();
    let foreign = cluster.master.state.lock().index;
    assert!(!client.made_change(foreign));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_watch_of_all_keys_goes_on_what_was_said_of_a_key_is_known() {
    let cluster = FakeCluster::start(small_layout()).await;
    let begun = cluster.master.state.lock().index;
    tell(&cluster.master, vec![message(begun, vec![])], ToldEnd::Silence);
    let client = cluster.client().await;
    put(&client, "before", &bytes(100)).await.unwrap();
    let mut watch = client.watch("");
    assert_eq!(watch.next().await, Ok(WatchEvent::Begun { applied_index: begun }));
    assert_eq!(client.known_entry(&key("before")), None);
    let before = client.entry(&key("before")).await.unwrap();
    assert_eq!(client.known_entry(&key("before")), before);
    put(&client, "key", &bytes(100)).await.unwrap();
    let known = client.known_entry(&key("key"));
    assert_eq!(known.map(|entry| entry.size_bytes), Some(100));
    assert_eq!(client.entry(&key("key")).await.unwrap(), known);
    client.delete(&key("key"), Precondition::None).await.unwrap();
    assert_eq!(client.known_entry(&key("key")), None);
    put(&client, "key", &bytes(200)).await.unwrap();
    let found = client.look_up(&key("key")).await.unwrap().unwrap();
    assert_eq!(client.known_entry(&key("key")), Some(*found.entry()));
    drop(watch);
    assert_eq!(client.known_entry(&key("before")), None);
}
