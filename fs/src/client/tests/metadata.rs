use std::time::{Duration, Instant};

use bytes::Bytes;
use cairn_codec::{Digest, Layout};
use cairn_proto::ids::BlobId;
use cairn_proto::records::{Attributes, Extent, Segment};

use super::small_layout;
use crate::client::testing::{FakeCluster, FakeMaster, MasterFault, bytes, key, put};
use crate::client::{BlobCommit, Client, ClientError, ClientOptions, Precondition};

fn commit_of(sealed: Segment) -> BlobCommit {
    let extent = Extent { segment: sealed.id, first_row: 0, rows: 1, length_bytes: sealed.length_bytes };
    BlobCommit {
        key: key("key"),
        precondition: Precondition::None,
        blob: BlobId::generate(),
        extents: vec![extent],
        size_bytes: sealed.length_bytes,
        sealed: Some(sealed),
        digest: Digest::ZERO,
        attributes: Attributes::default(),
        writer_killed_by_signal: 0,
    }
}

async fn sealed(client: &Client) -> Segment {
    let mut segment = client.begin(&key("key"), Precondition::None, None).await.unwrap();
    segment.write_row(0, Bytes::from(bytes(100))).await.unwrap();
    segment.seal().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_reply_is_lost_is_applied_once() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let sealed = sealed(&client).await;
    cluster.master.fail(MasterFault::LosesReplies(3));
    // The fake master refuses to commit a segment or blob twice.
    let entry = client.commit(commit_of(sealed)).await.unwrap();
    assert_eq!(client.entry(&key("key")).await, Ok(Some(entry)));
    assert_eq!(cluster.master.state.lock().commits_received, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_asked_for_again_where_it_got_lost() {
    let cluster = FakeCluster::start(small_layout()).await;
    let stopped = FakeMaster::start(small_layout(), Vec::new()).await;
    stopped.fail(MasterFault::Stopped);
    let masters = vec![cluster.master.address.clone(), stopped.address.clone()];
    let client = Client::connect(ClientOptions { masters, ..cluster.options() }).await.unwrap();
    let sealed = sealed(&client).await;
    cluster.master.fail(MasterFault::LosesReplies(1));
    let start = Instant::now();
    client.commit(commit_of(sealed)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(1), "the other master was asked, which does not answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_any_reply_is_of_unknown_outcome() {
    let cluster = FakeCluster::start(small_layout()).await;
    let options = ClientOptions { deadline: Duration::from_millis(300), ..cluster.options() };
    let client = Client::connect(options).await.unwrap();
    let sealed = sealed(&client).await;
    cluster.master.fail(MasterFault::LosesReplies(usize::MAX));
    let error = client.commit(commit_of(sealed)).await.unwrap_err();
    assert!(matches!(error, ClientError::OutcomeUnknown { .. }), "{error}");
    assert!(cluster.master.state.lock().aborted.is_empty(), "what may be committed must not be aborted");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_elected_master_is_followed() {
    let cluster = FakeCluster::start(small_layout()).await;
    let other = FakeMaster::start(small_layout(), Vec::new()).await;
    other.fail(MasterFault::NotElected(cluster.master.address.clone()));
    let options = ClientOptions { masters: vec![other.address.clone()], ..cluster.options() };
    let client = Client::connect(options).await.unwrap();
    put(&client, "key", &bytes(100)).await.unwrap();
    assert!(cluster.master.state.lock().entries.contains_key("key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_master_is_passed_over() {
    let cluster = FakeCluster::start(small_layout()).await;
    let stopped = FakeMaster::start(small_layout(), Vec::new()).await;
    stopped.fail(MasterFault::Stopped);
    let masters = vec![stopped.address.clone(), cluster.master.address.clone()];
    let start = Instant::now();
    let client = Client::connect(ClientOptions { masters, ..cluster.options() }).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(4));
    assert_eq!(client.entry(&key("key")).await, Ok(None));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_master_the_cluster_is_unreachable() {
    // Bound and not listening: nothing else gets this port, and nothing answers.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let options = ClientOptions::new(vec![address.clone()], "test");
    let error = Client::connect(ClientOptions { deadline: Duration::from_millis(200), ..options }).await.unwrap_err();
    assert!(matches!(&error, ClientError::Unreachable { masters, .. } if masters.contains(&address)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_no_master_answers_ends_before_its_deadline() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut options = ClientOptions::new(vec![socket.local_addr().unwrap().to_string()], "test");
    options.deadline = Duration::from_mins(2);
    options.unanswered_limit = Duration::from_millis(500);
    let start = Instant::now();
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_no_master_answers_ends_before_other_requests() {
    let cluster = FakeCluster::start(small_layout()).await;
    let limit = Duration::from_millis(500);
    let options = ClientOptions {
        deadline: Duration::from_mins(2),
        unanswered_limit: Duration::from_mins(2),
        unanswered_overview_limit: limit,
        ..cluster.options()
    };
    let client = Client::connect(options).await.unwrap();
    cluster.master.fail(MasterFault::Stopped);
    let start = Instant::now();
    let error = client.list("", None, 10).await.unwrap_err();
    assert!(matches!(error, ClientError::Unreachable { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_that_answer_are_given_the_whole_deadline_to_elect_one() {
    let cluster = FakeCluster::start(small_layout()).await;
    cluster.master.fail(MasterFault::NotElected(String::new()));
    let deadline = Duration::from_secs(2);
    let options = ClientOptions { deadline, unanswered_limit: Duration::from_millis(1), ..cluster.options() };
    let start = Instant::now();
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    assert!(start.elapsed() >= deadline / 2, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn masters_without_an_elected_one_are_unavailable() {
    let cluster = FakeCluster::start(small_layout()).await;
    cluster.master.fail(MasterFault::NotElected(String::new()));
    let options = ClientOptions { deadline: Duration::from_millis(200), ..cluster.options() };
    let error = Client::connect(options).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_session_loses_its_writes_and_is_replaced() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let sealed = sealed(&client).await;
    cluster.master.state.lock().sessions.clear();
    let error = client.commit(commit_of(sealed)).await.unwrap_err();
    assert!(matches!(error, ClientError::SessionLost { .. }), "{error}");
    put(&client, "key", &bytes(100)).await.unwrap();
    cluster.master.state.lock().sessions.clear();
    client.delete(&key("key"), Precondition::None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_transaction_is_reported_and_a_committed_one_is_not() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let sealed = sealed(&client).await;
    let reported = || cluster.master.state.lock().heartbeats.last().map(|beat| beat.transactions.len());
    await_that(|| reported() == Some(1)).await;
    client.commit(commit_of(sealed)).await.unwrap();
    await_that(|| reported() == Some(0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exclusive_write_of_an_existing_key_is_refused_at_open() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    put(&client, "key", b"x").await.unwrap();
    let error = client.begin(&key("key"), Precondition::Absent, None).await.unwrap_err();
    assert_eq!(error, ClientError::KeyExists { key: "key".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_page_by_page() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    for name in ["c", "a", "b"] {
        put(&client, name, b"").await.unwrap();
    }
    let first = client.list("", None, 2).await.unwrap();
    let names = |page: &crate::client::ListPage| page.keys.iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>();
    assert_eq!(names(&first), ["a", "b"]);
    let rest = client.list("", first.continue_after.as_ref(), 2).await.unwrap();
    assert_eq!((names(&rest), rest.continue_after), (vec!["c".to_owned()], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layout_of_the_caller_is_used() {
    let cluster = FakeCluster::start(small_layout()).await;
    let client = cluster.client().await;
    let layout = Layout::new(5, 1, 8192, 1 << 20).unwrap();
    let segment = client.begin(&key("key"), Precondition::None, Some(layout)).await.unwrap();
    assert_eq!(segment.layout(), &layout);
    segment.abort().await;
    assert_eq!(cluster.master.state.lock().aborted.len(), 1);
}

async fn await_that(holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < deadline, "it did not come about");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
