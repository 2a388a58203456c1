//! A master over gRPC, from its first session to the collection of its first blob.

use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::records::Key;
use cairn_proto::transport::TcpConnector;
use cairn_proto::wire::metadata_client::MetadataClient;
use cairn_proto::wire::registry_client::RegistryClient;
use cairn_proto::{Refusal, wire};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::divided::CONNECTIONS_BESIDE_RAFT;
use super::{RunError, routes, run_on, serve};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::environment::Environment;
use crate::fakes::{FakeNodeService, FakeNodes, elected_store, settings, written};
use crate::group::Group;
use crate::keys;
use crate::nodes::GrpcNodeClient;
use crate::office::Office;
use crate::state::encode;
use crate::store::{Command, Epoch, MemoryStore, Standing, Store};
use crate::tenure::{Settings, Surroundings};

const PATIENCE: Duration = Duration::from_secs(20);

struct Alone;

impl Group for Alone {
    fn masters(&self) -> Vec<wire::MasterStatus> {
        vec![wire::MasterStatus { id: 1, name: "master-1".into(), elected: true, ..Default::default() }]
    }
}

struct Running {
    address: String,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start(store: Arc<dyn Store>, settings: Settings) -> Running {
    let around = Surroundings {
        store,
        clock: Arc::new(SystemClock),
        node_client: Arc::new(GrpcNodeClient::new(Arc::new(TcpConnector))),
    };
    let office = Arc::new(Office::new(around, settings));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(serve(routes(&office, Arc::new(Alone)), listener, stop.clone()));
    let until = stop.clone();
    tokio::spawn(async move { office.follow(until).await });
    Running { address, stop }
}

async fn channel(master: &Running) -> Channel {
    Channel::from_shared(format!("http://{}", master.address)).unwrap().connect().await.unwrap()
}

fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> Refusal {
    let status = answer.unwrap_err();
    Refusal::from_status(&status).unwrap_or_else(|| panic!("no refusal: {status}"))
}

/// Asks again while the master says that it is not ready.
async fn ready<T, W: Future<Output = Result<T, Status>>>(mut ask: impl FnMut() -> W) -> T {
    let asking = async {
        loop {
            match ask().await {
                Ok(answer) => return answer,
                Err(status) => match Refusal::from_status(&status) {
                    Some(Refusal::NotReady { .. } | Refusal::NotElected { .. }) => tokio::task::yield_now().await,
                    _ => panic!("{status}"),
                },
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("the master gets ready")
}

async fn join_six(master: &Running, nodes: &FakeNodes) {
    let registry = RegistryClient::new(channel(master).await);
    for number in 1..=6 {
        let node = FakeNodeService::start(nodes, number).await;
        let request = wire::JoinRequest { cluster: bytes::Bytes::new(), node: Some(node) };
        ready(|| {
            let (mut registry, request) = (registry.clone(), request.clone());
            async move { registry.join(request).await }
        })
        .await;
    }
}

/// Waits until every node has answered a heartbeat.
async fn nodes_heard(client: &MetadataClient<Channel>) {
    let heard = async {
        loop {
            let status = client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner();
            if status.nodes.iter().all(|node| !node.devices.is_empty()) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("six nodes are heard");
}

/// The status once it counts so many keys: it may be as old as counting is slow.
async fn status_with(client: &MetadataClient<Channel>, keys: u64) -> wire::GetStatusResponse {
    let counted = async {
        loop {
            let status = client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner();
            if status.keys == keys {
                return status;
            }
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("the keys are counted")
}

async fn open(client: &mut MetadataClient<Channel>, session: u64, sequence: u64) -> wire::OpenTransactionResponse {
    let request = wire::OpenTransactionRequest {
        transaction: Some(wire::TransactionId { session, sequence }),
        key: "a".into(),
        ..Default::default()
    };
    client.open_transaction(request).await.unwrap().into_inner()
}

/// The life of one blob, on any store with one master.
async fn the_life_of_a_blob(master: &Running) {
    let nodes = FakeNodes::default();
    join_six(master, &nodes).await;
    let mut client = MetadataClient::new(channel(master).await);
    let session = ready(|| {
        let mut client = client.clone();
        async move { client.open_session(wire::OpenSessionRequest::default()).await }
    })
    .await
    .into_inner()
    .session;
    nodes_heard(&client).await;
    let opened = open(&mut client, session, 1).await;
    let request = written(&nodes, SessionId(session), 1, "a", &opened, 300_000);
    let key = || Some(wire::look_up_request::Target::Key("a".into()));
    let look_up = wire::LookUpRequest { target: key(), ..Default::default() };
    assert_eq!(refusal(client.look_up(look_up.clone()).await), Refusal::KeyNotFound { key: "a".into() });

    let first = client.commit_blob(request.clone()).await.unwrap().into_inner();
    let again = client.commit_blob(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let found = client.look_up(look_up.clone()).await.unwrap().into_inner();
    assert_eq!((found.entry, found.segments[0].uses), (first.entry, 1));
    let page = client.list(wire::ListRequest::default()).await.unwrap().into_inner();
    assert_eq!((page.keys.len(), page.continue_after.as_str()), (1, ""));
    let status = status_with(&client, 1).await;
    assert_eq!((status.stored_bytes, status.nodes.len()), (300_000, 6));
    assert_eq!(status.redundancy, [wire::RedundancyCount { spare_chunks: 2, blobs: 1 }]);
    assert_eq!((status.masters.len(), status.sessions), (1, 1));

    let delete = wire::DeleteRequest {
        request: Some(wire::RequestId { client: session, sequence: 2, lowest_unanswered: 2 }),
        key: "a".into(),
        precondition: None,
    };
    let deleted = client.delete(delete).await.unwrap().into_inner();
    assert_eq!(refusal(client.look_up(look_up).await), Refusal::KeyNotFound { key: "a".into() });
    let segment = SegmentId::from_wire(&opened.segment).unwrap();
    let collected = async {
        while nodes.holders(segment) > 0 {
            let as_of_index = deleted.applied_index;
            let heartbeat = wire::HeartbeatRequest { session, as_of_index, ..Default::default() };
            client.heartbeat(heartbeat).await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, collected).await.expect("the blob is collected");

    let late = open(&mut client, session, 3).await;
    let late = written(&nodes, SessionId(session), 3, "a", &late, 5000);
    client.close_session(wire::CloseSessionRequest { session }).await.unwrap();
    assert!(matches!(refusal(client.commit_blob(late).await), Refusal::SessionExpired { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_lives_on_a_store_in_memory() {
    let settings = Settings { collection_grace: Duration::from_millis(300), ..settings() };
    the_life_of_a_blob(&start(elected_store().await, settings).await).await;
}

/// A whole master of a group of one, on a directory.
async fn run_alone(dir: &std::path::Path) -> (Running, tokio::task::JoinHandle<Result<(), RunError>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = format!(
        "id = 1\nname = \"master-1\"\ndir = {dir:?}\nlisten = {address:?}\nlayout = \"4+2\"\ncell_size = \"4KiB\"\n\
         timing = {{ collection_grace = \"300ms\", session_timeout = \"10s\" }}\n\
         [[members]]\nid = 1\nname = \"master-1\"\naddress = {address:?}\n"
    );
    let config: Config = toml::from_str(&text).unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(run_on(Environment::default(), config, listener, stop.clone().cancelled_owned()));
    (Running { address, stop }, running)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_lives_on_a_replicated_store() {
    let dir = tempfile::tempdir().unwrap();
    let (master, running) = run_alone(dir.path()).await;
    the_life_of_a_blob(&master).await;
    master.stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap().unwrap();
}

/// A master of one thread, which keeps the first connections and has another thread serve what follows.
#[tokio::test]
async fn a_blob_lives_on_a_master_of_one_thread_whoever_serves_it() {
    let dir = tempfile::tempdir().unwrap();
    let (master, running) = run_alone(dir.path()).await;
    let mut first = Vec::new();
    for _ in 0..CONNECTIONS_BESIDE_RAFT {
        first.push(channel(&master).await);
    }
    the_life_of_a_blob(&master).await;
    master.stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_comes_back_with_its_sessions_and_keys() {
    let dir = tempfile::tempdir().unwrap();
    let (master, running) = run_alone(dir.path()).await;
    let client = MetadataClient::new(channel(&master).await);
    let open = || {
        let mut client = client.clone();
        async move { client.open_session(wire::OpenSessionRequest::default()).await }
    };
    let session = ready(open).await.into_inner();
    let request = wire::CommitBlobRequest {
        request: Some(wire::RequestId { client: session.session, sequence: 1, lowest_unanswered: 1 }),
        key: "empty".into(),
        blob: cairn_proto::ids::BlobId::generate().to_wire(),
        digest: vec![0; 32].into(),
        attributes: Some(wire::Attributes::default()),
        ..Default::default()
    };
    let first = client.clone().commit_blob(request.clone()).await.unwrap().into_inner();
    master.stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap().unwrap();

    let (master, running) = run_alone(dir.path()).await;
    let client = MetadataClient::new(channel(&master).await);
    let commit = || {
        let (mut client, request) = (client.clone(), request.clone());
        async move { client.commit_blob(request).await }
    };
    assert_eq!(ready(commit).await.into_inner(), first, "the reply is kept with the session");
    let leader = client.clone().get_leader(wire::GetLeaderRequest {}).await.unwrap().into_inner();
    assert_eq!((leader.address.as_str(), leader.lease.unwrap().master), (master.address.as_str(), 1));
    let status = client.clone().get_status(wire::GetStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.keys, status.cluster), (1, session.cluster));
    assert!(status.masters[0].elected && status.masters[0].raft_leader);
    assert_eq!(status.masters[0].state(), wire::MasterState::Active);
    master.stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test]
async fn a_master_that_is_not_elected_names_the_one_that_is() {
    let elected = Some("127.0.0.1:7002".to_owned());
    let store = elected_store().await;
    store.set_standing(Standing::Following { elected: elected.clone() });
    let master = start(store.clone(), settings()).await;
    let mut client = MetadataClient::new(channel(&master).await);
    let refused = refusal(client.list(wire::ListRequest::default()).await);
    assert_eq!(refused, Refusal::NotElected { elected: "127.0.0.1:7002".into() });
    store.set_standing(Standing::Elected { epoch: Epoch(3), serve_until: tokio::time::Instant::now() + PATIENCE });
    ready(|| {
        let mut client = client.clone();
        async move { client.list(wire::ListRequest::default()).await }
    })
    .await;
    let leader = client.get_leader(wire::GetLeaderRequest {}).await.unwrap().into_inner();
    assert_eq!(leader.lease.unwrap().epoch, 3);
    store.set_standing(Standing::Following { elected });
    assert!(matches!(refusal(client.list(wire::ListRequest::default()).await), Refusal::NotElected { .. }));
}

#[tokio::test]
async fn a_watcher_is_told_over_the_wire_what_changes_and_at_the_end_who_is_elected() {
    let store = elected_store().await;
    let master = start(store.clone(), settings()).await;
    let client = MetadataClient::new(channel(&master).await);
    let watch = || {
        let mut client = client.clone();
        async move { client.watch(wire::WatchRequest { pattern: "a*".into(), after_index: None }).await }
    };
    let mut messages = ready(watch).await.into_inner();
    let begin = messages.message().await.unwrap().unwrap();
    assert_eq!(begin.changes, []);
    for (key, write) in [("b", true), ("ab", true), ("ab", false)] {
        let mut command = Command::new();
        let at = keys::key(&Key::try_from(key).unwrap());
        if write {
            command.put(at, encode(&wire::KeyEntry::default()));
        } else {
            command.delete(at);
        }
        store.commit(Epoch(1), command).await.unwrap();
    }
    let mut changes = Vec::new();
    while changes.len() < 2 {
        let message = messages.message().await.unwrap().unwrap();
        changes.extend(message.changes.into_iter().map(|change| (change.key.clone(), change.kind())));
    }
    assert_eq!(changes, [("ab".into(), wire::ChangeKind::Created), ("ab".into(), wire::ChangeKind::Removed)]);
    store.set_standing(Standing::Following { elected: Some("127.0.0.1:7002".to_owned()) });
    let ended = async {
        loop {
            match messages.message().await {
                Ok(progress) => assert_eq!(progress.unwrap().changes, []),
                Err(status) => return Refusal::from_status(&status),
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    assert_eq!(ended, Some(Refusal::NotElected { elected: "127.0.0.1:7002".into() }));
}

#[tokio::test]
async fn a_master_whose_lease_is_over_serves_nothing() {
    let standing = Standing::Elected { epoch: Epoch(1), serve_until: tokio::time::Instant::now() };
    let master = start(Arc::new(MemoryStore::new(standing)), settings()).await;
    let mut client = MetadataClient::new(channel(&master).await);
    let refused = refusal(client.list(wire::ListRequest::default()).await);
    assert!(matches!(refused, Refusal::NotElected { .. }), "{refused}");
}

#[tokio::test]
async fn a_peer_that_connects_and_says_nothing_does_not_hold_up_the_stop() {
    let around = Surroundings {
        store: Arc::new(MemoryStore::elected()),
        clock: Arc::new(SystemClock),
        node_client: Arc::new(GrpcNodeClient::new(Arc::new(TcpConnector))),
    };
    let office = Arc::new(Office::new(around, settings()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(routes(&office, Arc::new(Alone)), listener, stop.clone()));
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), serving).await.expect("it stops").unwrap().unwrap();
}
