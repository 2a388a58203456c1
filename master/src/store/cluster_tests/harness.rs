mod changes;
mod messages;

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cairn_proto::transport::{HeldAddress, TcpConnector};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_stream::wrappers::TcpListenerStream;

use super::super::open::open_with;
use super::super::raft::LogLimits;
use super::super::{
    Command, CommitError, Epoch, LeaseOptions, LogOptions, LogWriting, Member, ReplicatedStore, Standing, Store,
    StoreOptions,
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
    /// The addresses of the members, which nobody else gets while one of them does not run.
    held: Vec<HeldAddress>,
    /// How many of them have founded the group; the others join it.
    founders: usize,
    limits: LogLimits,
    lease: LeaseOptions,
    masters: Vec<Option<Master>>,
    /// Whether masters stand for election that hear nothing.
    elections: Cell<bool>,
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
        let root = tempfile::tempdir().unwrap();
        let mut cluster = Self {
            root,
            members: Vec::new(),
            held: Vec::new(),
            founders: size,
            limits: limits.into(),
            lease,
            masters: Vec::new(),
            elections: Cell::new(true),
        };
        for _ in 0..size {
            cluster.enrol();
        }
        for number in 0..size {
            cluster.masters[number] = Some(cluster.launch(number).await);
        }
        cluster
    }

    /// Names one more master, with the next id, that does not run yet. Returns its number.
    fn enrol(&mut self) -> usize {
        let (id, held) = (self.members.len() as u64 + 1, HeldAddress::on_loopback().unwrap());
        self.members.push(Member { id, name: format!("master-{id}"), address: held.address().to_string() });
        self.held.push(held);
        self.masters.push(None);
        self.members.len() - 1
    }

    pub(super) async fn restart(&mut self, number: usize) {
        self.masters[number] = Some(self.launch(number).await);
    }

    async fn launch(&self, number: usize) -> Master {
        let (member, address) = (&self.members[number], self.held[number].address());
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
            let listener = TcpListener::bind(address).await.unwrap();
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
        let master = self.masters[number].take().unwrap();
        tokio::task::spawn_blocking(|| master.end()).await.unwrap();
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

    /// The elected master, which leads Raft as well and goes on leading, and its epoch: no master that runs now stands
    /// for election any more for having heard nothing, however long the machine makes it wait. One that is restarted
    /// does.
    pub(super) async fn steady(&self) -> (Arc<ReplicatedStore>, Epoch) {
        loop {
            let (elected, epoch) = self.elected().await;
            self.lead_raft(self.number_of(&elected)).await;
            self.without_elections();
            if *elected.group().leads().borrow() && elected_of(&elected.standing().borrow()) == Some(epoch) {
                return (elected, epoch);
            }
            self.elections(true);
        }
    }

    /// Keeps all masters that run now from standing for election for having heard nothing.
    pub(super) fn without_elections(&self) {
        self.elections(false);
    }

    fn elections(&self, held: bool) {
        self.elections.set(held);
        for store in self.stores() {
            store.group().stand_for_election(held);
        }
    }

    /// Commits a command by whichever master is elected, as often as it takes. Returns its index.
    pub(super) async fn commit(&self, command: Command) -> u64 {
        let committing = async {
            loop {
                let (elected, epoch) = self.elected().await;
                match elected.commit(epoch, command.clone()).await {
                    Ok(committed) => return committed.index,
                    Err(CommitError::ConditionFailed { operation }) => panic!("the condition {operation} failed"),
                    Err(error) => println!("again: {error}"),
                }
            }
        };
        timeout(PATIENCE, committing).await.expect("not committed")
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
    /// How many states a master has had: each snapshot that it installs begins one.
    pub(super) fn states(&self, number: usize) -> u64 {
        let states = std::fs::read_dir(self.dir(number).join("state")).unwrap();
        let names = states.map(|entry| entry.unwrap().file_name());
        names.filter_map(|name| name.to_str()?.parse().ok()).max().unwrap_or(0)
    }

    /// Has a master lead Raft, as seen by itself.
    pub(super) async fn lead_raft(&self, number: usize) {
        let (successor, held) = (self.members[number].id, self.elections.get());
        // A successor that is asked in vain leaves the group without a leader, until somebody stands for election.
        self.elections(true);
        let leading = async {
            while !*self.store(number).group().leads().borrow() {
                // The one leader: to hand over to itself would keep the successor from leading.
                let leader = self.stores().into_iter().find(|store| *store.group().leads().borrow());
                let other = leader.filter(|store| store.group().me() != successor);
                if let Some(leader) = other
                    && !leader.group().pass_on(successor).await
                {
                    println!("master {} could not hand over yet", leader.group().me());
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, leading).await.expect("does not lead");
        self.elections(held);
    }
}

impl Drop for Cluster {
    /// Ends the masters: `RocksDB` must be at rest when the process exits.
    fn drop(&mut self) {
        let masters: Vec<_> = self.masters.drain(..).flatten().collect();
        // A runtime is not ended on a thread of another one, as the test's is.
        let ended = thread::scope(|scope| scope.spawn(|| masters.into_iter().for_each(Master::end)).join());
        assert!(ended.is_ok() || thread::panicking(), "a master did not end well");
    }
}

impl Master {
    /// Ends all tasks, then waits until the databases are closed.
    fn end(self) {
        let Self { runtime, store } = self;
        let closed = store.closed();
        runtime.shutdown_timeout(PATIENCE);
        drop(store);
        let waiting = Builder::new_current_thread().enable_time().build().unwrap();
        waiting.block_on(async {
            for mut closed in closed {
                timeout(PATIENCE, async { while closed.changed().await.is_ok() {} }).await.expect("still open");
            }
        });
    }
}
