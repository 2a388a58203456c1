use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::ClusterId;
use cairn_proto::transport::TcpConnector;
use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;

use super::super::open::open_with;
use super::super::raft::LogLimits;
use super::super::{
    AdministrationError, ChangeError, Epoch, LeaseOptions, LogOptions, LogWriting, Member, MemberRole, ReplicatedStore,
    Standing, Store, StoreOptions,
};
use crate::clock::SystemClock;

/// How long a test waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A lease that does not run out while a test waits: what happens then does not happen because it ran out.
pub(super) const LONG_LEASE: LeaseOptions = LeaseOptions {
    period: Duration::from_mins(2),
    extension: Duration::from_millis(500),
    buffer: Duration::from_millis(300),
};

pub(super) struct Cluster {
    root: TempDir,
    members: Vec<Member>,
    /// How many of them have founded the group; the others join it.
    founders: usize,
    limits: LogLimits,
    lease: LeaseOptions,
    masters: Vec<Option<Master>>,
}

struct Master {
    runtime: Runtime,
    store: Arc<ReplicatedStore>,
}

pub(super) fn elected_of(standing: &Standing) -> Option<Epoch> {
    match standing {
        Standing::Elected { epoch, .. } => Some(*epoch),
        Standing::Following { .. } => None,
    }
}

impl Cluster {
    pub(super) async fn start(size: usize, limits: impl Into<LogLimits>) -> Self {
        Self::start_with(size, limits, LeaseOptions::default()).await
    }

    pub(super) async fn start_with(size: usize, limits: impl Into<LogLimits>, lease: LeaseOptions) -> Self {
        let mut listeners = Vec::new();
        let mut members = Vec::new();
        for id in 1..=size as u64 {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap().to_string();
            members.push(Member { id, name: format!("master-{id}"), address });
            listeners.push(listener);
        }
        let root = tempfile::tempdir().unwrap();
        let mut cluster = Self { root, members, founders: size, limits: limits.into(), lease, masters: Vec::new() };
        for (number, listener) in listeners.into_iter().enumerate() {
            let master = cluster.launch(number, listener).await;
            cluster.masters.push(Some(master));
        }
        cluster
    }

    pub(super) async fn restart(&mut self, number: usize) {
        let address: SocketAddr = self.members[number].address.parse().unwrap();
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(128).unwrap().into_std().unwrap();
        self.masters[number] = Some(self.launch(number, listener).await);
    }

    async fn launch(&self, number: usize, listener: std::net::TcpListener) -> Master {
        let member = &self.members[number];
        let options = StoreOptions {
            dir: self.dir(number),
            master: member.id,
            name: member.name.clone(),
            address: member.address.clone(),
            members: if number < self.founders { self.members[..self.founders].to_vec() } else { Vec::new() },
            join: if number < self.founders { Vec::new() } else { vec![self.members[0].address.clone()] },
            lease: self.lease,
            connector: Arc::new(TcpConnector),
            log: LogOptions::default(),
            wall_clock: Arc::new(SystemClock),
            log_writing: LogWriting::Thread,
        };
        let limits = self.limits;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = runtime.spawn(async move {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let (store, service) = open_with(options, limits).await.unwrap();
            let server = tonic::transport::Server::builder().add_service(service.into_server());
            tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
            store
        });
        let store = store.await.unwrap();
        Master { runtime, store }
    }

    /// Ends all tasks and connections of a master without any farewell, and waits until its files are closed.
    pub(super) async fn kill(&mut self, number: usize) {
        let Master { runtime, store } = self.masters[number].take().unwrap();
        let closed = store.closed();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
        drop(store);
        for mut closed in closed {
            timeout(PATIENCE, async { while closed.changed().await.is_ok() {} }).await.expect("still open");
        }
    }

    pub(super) fn wipe(&self, number: usize) {
        std::fs::remove_dir_all(self.dir(number)).unwrap();
    }

    pub(super) fn dir(&self, number: usize) -> PathBuf {
        self.root.path().join(format!("master-{}", number + 1))
    }

    pub(super) fn address(&self, number: usize) -> String {
        self.members[number].address.clone()
    }

    pub(super) fn stores(&self) -> Vec<Arc<ReplicatedStore>> {
        self.masters.iter().flatten().map(|master| Arc::clone(&master.store)).collect()
    }

    pub(super) fn store(&self, number: usize) -> Arc<ReplicatedStore> {
        Arc::clone(&self.masters[number].as_ref().unwrap().store)
    }

    pub(super) fn number_of(&self, store: &Arc<ReplicatedStore>) -> usize {
        let is_it = |master: &Option<Master>| master.as_ref().is_some_and(|it| Arc::ptr_eq(&it.store, store));
        self.masters.iter().position(is_it).unwrap()
    }

    /// The elected master and its epoch, as soon as there is one.
    pub(super) async fn elected(&self) -> (Arc<ReplicatedStore>, Epoch) {
        self.elected_after(Epoch(0)).await
    }

    /// The master elected in an epoch after `before`, as soon as there is one.
    pub(super) async fn elected_after(&self, before: Epoch) -> (Arc<ReplicatedStore>, Epoch) {
        let waits = self.stores().into_iter().map(|store| {
            Box::pin(async move {
                let mut standing = store.standing();
                let later = |standing: &Standing| elected_of(standing).is_some_and(|epoch| epoch > before);
                let epoch = match standing.wait_for(later).await {
                    Ok(standing) => elected_of(&standing).unwrap(),
                    Err(_) => std::future::pending().await,
                };
                (store, epoch)
            })
        });
        let (first, _, _) = timeout(PATIENCE, futures_util::future::select_all(waits)).await.expect("nobody elected");
        first
    }

    /// What a master sends to another: by default this is right in every field.
    pub(super) fn header(&self, from: usize, to: usize) -> wire::RaftHeader {
        let (sender, target) = (self.store(from), self.store(to));
        wire::RaftHeader {
            cluster: sender.cluster().map(ClusterId::to_wire).unwrap_or_default(),
            target: self.members[to].id,
            target_disk: target.master_id().to_wire(),
            sender: self.members[from].id,
            sender_disk: sender.master_id().to_wire(),
        }
    }

    pub(super) async fn ask_for_vote(
        &self,
        number: usize,
        header: wire::RaftHeader,
    ) -> Result<wire::VoteResponse, tonic::Status> {
        let address = format!("http://{}", self.members[number].address);
        let mut client = RaftClient::connect(address).await.unwrap();
        let vote = wire::RaftVote { term: 0, master: 2, committed: false };
        let request = wire::VoteRequest {
            header: Some(header),
            vote: Some(vote),
            pre_vote: true,
            ..wire::VoteRequest::default()
        };
        client.vote(request).await.map(tonic::Response::into_inner)
    }
}

impl Cluster {
    /// Sends a forwarded command to a master.
    pub(super) async fn propose(
        &self,
        number: usize,
        header: wire::RaftHeader,
        command: wire::Command,
    ) -> Result<wire::ProposeResponse, tonic::Status> {
        let address = format!("http://{}", self.members[number].address);
        let mut client = RaftClient::connect(address).await.unwrap();
        let request = wire::ProposeRequest { header: Some(header), command: Some(command) };
        client.propose(request).await.map(tonic::Response::into_inner)
    }

    /// How many states a master has had: each snapshot that it installs begins one.
    pub(super) fn states(&self, number: usize) -> u64 {
        let states = std::fs::read_dir(self.dir(number).join("state")).unwrap();
        let names = states.map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).max().unwrap_or(0)
    }

    /// Has a master lead Raft, as seen by itself and by the one that led before.
    pub(super) async fn lead_raft(&self, number: usize) {
        let successor = self.members[number].id;
        for store in self.stores() {
            if *store.group().leads().borrow() && store.group().me() != successor {
                assert!(store.group().pass_on(successor).await, "not handed over");
            }
        }
        let mut leads = self.store(number).group().leads();
        timeout(PATIENCE, leads.wait_for(|leads| *leads)).await.expect("does not lead").unwrap();
    }
}

impl Cluster {
    /// Starts one more master, with the next id, that waits to be added. Returns its number and address.
    pub(super) async fn start_joining(&mut self) -> (usize, String) {
        let (id, number) = (self.members.len() as u64 + 1, self.members.len());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        self.members.push(Member { id, name: format!("master-{id}"), address: address.clone() });
        let master = self.launch(number, listener).await;
        self.masters.push(Some(master));
        (number, address)
    }

    /// Has whoever leads Raft change the group, as often as it takes, like the command line.
    pub(super) async fn change<T, W>(
        &self,
        change: impl Fn(Arc<ReplicatedStore>) -> W,
    ) -> Result<T, AdministrationError>
    where
        W: Future<Output = Result<T, AdministrationError>>,
    {
        let changing = async {
            loop {
                for store in self.stores() {
                    match change(store).await {
                        Err(
                            AdministrationError::NotElected { .. }
                            | AdministrationError::Change(
                                ChangeError::NotLeading { .. } | ChangeError::Unfinished { .. },
                            ),
                        ) => tokio::task::yield_now().await,
                        answer => return answer,
                    }
                }
            }
        };
        timeout(PATIENCE, changing).await.expect("the group is not changed")
    }

    /// Returns once one master leads Raft, is elected, and hears from all of so many.
    pub(super) async fn settled(&self, elected: &ReplicatedStore, size: usize) {
        let settled = async {
            loop {
                let members = elected.members_status();
                let both = members.iter().filter(|status| status.elected && status.raft_leader).count();
                if both == 1 && members.iter().filter(|status| status.reachable).count() == size {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, settled).await.unwrap_or_else(|_| panic!("{:?}", elected.members_status()));
    }

    /// Returns once `number` masters vote, by the word of the one at `seen_by`.
    pub(super) async fn voters(&self, seen_by: usize, number: usize) {
        let store = self.store(seen_by);
        let counted = async {
            while store.members_status().iter().filter(|status| status.role == MemberRole::Voter).count() != number {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{:?}", store.members_status()));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for master in self.masters.drain(..).flatten() {
            master.runtime.shutdown_background();
        }
    }
}
