//! A group of masters in one process, on a simulated network and real disks.

mod clock;
mod directory;
mod host;
mod planted;
mod service;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use cairn_fs::client::{Client, ClientOptions};
use cairn_master::clock::SystemClock;
use cairn_master::store::{LeaseOptions, LogLimits, LogOptions, Member, ReplicatedStore, StoreOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::timeout;

pub use clock::GroupClock;
pub use directory::Directory;
use host::{Booted, Host};
pub use service::Service;

use crate::network::{Network, Place};

/// How long a test waits for what must happen.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What a group is like.
#[derive(Debug, Clone)]
pub struct GroupOptions {
    /// Masters.
    pub size: u64,
    /// How long their logs get.
    pub limits: LogLimits,
    /// What the network's troubles are drawn from.
    pub seed: u64,
}

/// The masters: each a real one with its store, its managers and its services, on a runtime of its own, so that all its
/// tasks can be ended at once, as a crash does.
#[derive(Debug)]
pub struct StoreGroup {
    network: Network,
    clock: GroupClock,
    root: TempDir,
    members: Vec<Member>,
    limits: LogLimits,
    service: Service,
    hosts: Vec<Option<Host>>,
    directory: Directory,
    crashes: u64,
}

impl StoreGroup {
    /// Makes the group's disks and its network; no master runs yet.
    pub fn new(options: &GroupOptions, clock: GroupClock, service: Service) -> Self {
        let member = |id: u64| Member { id, name: format!("master-{id}"), address: format!("10.0.0.{id}:7000") };
        Self {
            network: Network::new(options.seed),
            root: clock.disk(),
            clock,
            members: (1..=options.size).map(member).collect(),
            limits: options.limits,
            service,
            hosts: (0..options.size).map(|_| None).collect(),
            directory: Directory::default(),
            crashes: 0,
        }
    }

    /// Starts every master, in real time.
    pub async fn start(options: &GroupOptions) -> Self {
        let mut group = Self::new(options, GroupClock::Real, Service::Right);
        for id in group.ids() {
            group.restart(id).await;
        }
        group
    }

    /// Its network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The masters that run.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// How a client with this number of its own reaches the masters.
    pub fn client_options(&self, number: u64) -> ClientOptions {
        let masters = self.members.iter().map(|member| member.address.clone()).collect();
        let connector = self.network.connector(Place::Client(number));
        ClientOptions { connector, ..ClientOptions::new(masters, format!("client {number}")) }
    }

    /// A client that has found the elected master.
    pub async fn client(&self, number: u64) -> Client {
        let connecting = Client::connect(self.client_options(number));
        connecting.await.unwrap_or_else(|error| panic!("client {number}: {error}"))
    }

    /// The ids of all masters.
    pub fn ids(&self) -> Vec<u64> {
        self.members.iter().map(|member| member.id).collect()
    }

    /// The store of a master that runs.
    pub fn store(&self, id: u64) -> Option<Arc<ReplicatedStore>> {
        self.directory.store(id)
    }

    /// The directory of a master.
    pub fn dir(&self, id: u64) -> PathBuf {
        self.root.path().join(format!("master-{id}"))
    }

    /// Crashes so far.
    pub fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Waits until one master is elected, and names it.
    pub async fn elected(&self) -> u64 {
        let elected = self.directory.elected();
        timeout(PATIENCE, elected).await.expect("a master is elected")
    }

    /// Ends all tasks of a master at once, without any farewell, and waits until its files are closed.
    pub async fn crash(&mut self, id: u64) {
        let host = self.take(id);
        let dying = tokio::task::spawn_blocking(move || host.end());
        timeout(PATIENCE, dying).await.expect("it ends").expect("it does not panic");
    }

    /// Starts a master that does not run, on the disk it left.
    pub async fn restart(&mut self, id: u64) {
        let (options, network) = (self.options(id), self.network.clone());
        let runtime = self.clock.runtime();
        let started = runtime.spawn(host::boot(options, self.limits, network, self.service)).await;
        let booted = started.expect("it does not panic");
        self.put(id, runtime, booted);
    }

    /// As [`Self::crash`], outside of any runtime.
    pub fn crash_now(&mut self, id: u64) {
        self.take(id).end();
    }

    /// As [`Self::restart`], outside of any runtime.
    pub fn restart_now(&mut self, id: u64) {
        let (options, network) = (self.options(id), self.network.clone());
        let runtime = self.clock.runtime();
        let booted = runtime.block_on(host::boot(options, self.limits, network, self.service));
        self.put(id, runtime, booted);
    }

    /// The runtimes of the masters that run.
    pub(crate) fn runtimes(&self) -> impl Iterator<Item = (u64, &Runtime)> {
        (1..).zip(&self.hosts).filter_map(|(id, host)| host.as_ref().map(|host| (id, &host.runtime)))
    }

    fn put(&mut self, id: u64, runtime: Runtime, booted: Booted) {
        self.directory.enter(id, Arc::clone(&booted.store));
        self.hosts[position(id)] = Some(Host { runtime, booted });
    }

    fn take(&mut self, id: u64) -> Host {
        self.directory.leave(id);
        self.crashes += 1;
        self.hosts[position(id)].take().expect("only a master that runs can crash")
    }

    fn options(&self, id: u64) -> StoreOptions {
        let member = &self.members[position(id)];
        StoreOptions {
            dir: self.dir(id),
            master: id,
            name: member.name.clone(),
            address: member.address.clone(),
            members: self.members.clone(),
            join: Vec::new(),
            lease: LeaseOptions::default(),
            connector: self.network.connector(Place::Master(id)),
            log: LogOptions::default(),
            wall_clock: Arc::new(SystemClock),
            log_writing: self.clock.log_writing(),
        }
    }
}

impl Drop for StoreGroup {
    /// Ends the masters, and waits until their files are closed: `RocksDB` must be at rest when the process exits.
    fn drop(&mut self) {
        for id in self.ids() {
            self.directory.leave(id);
        }
        let hosts: Vec<_> = self.hosts.drain(..).flatten().collect();
        // A runtime is not ended on a thread of another one, which may be where the group is dropped.
        let ended = thread::scope(|scope| scope.spawn(|| hosts.into_iter().for_each(Host::end)).join());
        assert!(ended.is_ok() || thread::panicking(), "a master did not end well");
    }
}

fn position(id: u64) -> usize {
    usize::try_from(id - 1).expect("ids are counted from 1")
}
