use std::io;
use std::sync::Arc;

use cairn_proto::ids::{BootId, ClusterId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::alignment::align;
use super::directory::{DirectoryError, StoreDirectory};
use super::failures::{remember_cluster, watch_expulsion, watch_group, watch_keeper};
use super::founding::Founding;
use super::identity::{Identity, IdentityError};
use super::proposer::Proposer;
use super::raft::{LogLimits, LogStore, Peers, StartError, StateMachine};
use super::removal::removed;
use super::replicated::{FatalError, Parts, ReplicatedStore, Running};
use super::state_store::{StateError, StateStore};
use super::{Admission, Group, Introduction, Member, ReadError, Standing, StoreOptions};
use crate::lease::Life;
use crate::lease::keeper::{Holder, LeaseKeeper, Watched};
use crate::service::RaftService;

/// Orders to give up the lease that wait.
const RELEASE_ORDERS_LIMIT: usize = 4;

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The options contradict themselves.
    #[error("invalid configuration: {why}")]
    Options {
        /// What is wrong.
        why: String,
    },
    /// The directory cannot be taken.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The directory's identity cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The directory is another master's.
    #[error("the directory belongs to master {found}, this is master {expected}: give each master its own")]
    OtherMaster {
        /// Whose it is.
        found: u64,
        /// Who asked.
        expected: u64,
    },
    /// The parts of the directory come from two clusters.
    #[error("the directory is of cluster {identity}, its state of cluster {state}: restore it whole")]
    OtherCluster {
        /// Cluster in the identity.
        identity: ClusterId,
        /// Cluster in the state.
        state: ClusterId,
    },
    /// Log or state without an identity.
    #[error("the directory holds a log or a state but no identity: restore it whole")]
    NoIdentity,
    /// The log cannot be read.
    #[error("cannot open the Raft log: {0}")]
    Log(#[source] io::Error),
    /// The state cannot be read.
    #[error("cannot open the state: {0}")]
    State(#[from] StateError),
    /// The group cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        Self::State(error.into())
    }
}

/// Opens the store of a master, makes it if the directory is new, and starts its part in the group. The service must
/// be served at the address in the options from then on.
pub async fn open(options: StoreOptions) -> Result<(Arc<ReplicatedStore>, RaftService), OpenError> {
    let limits = options.log.into();
    open_with(options, limits).await
}

/// As [`open`], with other limits of the log.
pub async fn open_with(
    options: StoreOptions,
    limits: LogLimits,
) -> Result<(Arc<ReplicatedStore>, RaftService), OpenError> {
    check(&options)?;
    let stored = tokio::task::spawn_blocking({
        let options = options.clone();
        move || Stored::open(&options)
    })
    .await
    .map_err(|error| OpenError::Log(io::Error::other(error)))??;
    start(options, limits, stored).await
}

/// What is on the disk, opened and checked.
struct Stored {
    directory: StoreDirectory,
    identity: Identity,
    log: LogStore,
    state: Arc<StateStore>,
    state_machine: StateMachine,
}

impl Stored {
    fn open(options: &StoreOptions) -> Result<Self, OpenError> {
        let directory = StoreDirectory::take(&options.dir)?;
        let known = Identity::read(directory.root())?;
        if let Some(identity) = known.filter(|identity| identity.master != options.master) {
            return Err(OpenError::OtherMaster { found: identity.master, expected: options.master });
        }
        let create = known.is_none();
        let log = LogStore::open(&directory.log(), create, options.log_writing).map_err(OpenError::Log)?;
        let state = Arc::new(StateStore::open(&directory.state(), create)?);
        let state_machine = StateMachine::new(Arc::clone(&state), directory.snapshots())?;
        if create && !(log.is_empty() && state_machine.is_empty()) {
            return Err(OpenError::NoIdentity);
        }
        let identity = known.unwrap_or_else(|| Identity::generate(options.master));
        if create {
            // Last of all: with an identity on disk, a missing log or state is a loss and no first start.
            identity.write(directory.root())?;
        } else {
            // Before anything is logged: the log may have got its journal just now, which earlier programs do not read.
            identity.raise_format(directory.root())?;
        }
        let in_state = *state.cluster().borrow();
        match (identity.cluster, in_state) {
            (Some(identity), Some(state)) if identity != state => Err(OpenError::OtherCluster { identity, state }),
            _ => Ok(Self { directory, identity, log, state, state_machine }),
        }
    }
}

fn check(options: &StoreOptions) -> Result<(), OpenError> {
    let refuse = |why: String| Err(OpenError::Options { why });
    let lease = options.lease;
    let mut ids: Vec<u64> = options.members.iter().map(|member| member.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() != options.members.len() {
        return refuse("two members have the same id".to_owned());
    }
    if options.members.is_empty() == options.join.is_empty() {
        return refuse("a master is given members to found a group with, or addresses to join one at".to_owned());
    }
    if !options.members.is_empty() && !ids.contains(&options.master) {
        return refuse(format!("master {} is not among the members", options.master));
    }
    if options.log.snapshot_every_entries == 0 {
        return refuse("a snapshot must be taken after 1 entry at least".to_owned());
    }
    if lease.extension.is_zero() || lease.buffer.is_zero() || lease.extension * 2 > lease.period {
        return refuse("the lease must be extended at least twice in its period, and the buffer not be 0".to_owned());
    }
    Ok(())
}

async fn start(
    options: StoreOptions,
    limits: LogLimits,
    stored: Stored,
) -> Result<(Arc<ReplicatedStore>, RaftService), OpenError> {
    let Stored { directory, identity, log, state, state_machine } = stored;
    let log_closed = log.closed();
    let cluster = known_cluster(&identity, &state);
    let connector = Arc::clone(&options.connector);
    let peers = Arc::new(Peers::new(options.master, identity.id, &options.members, cluster, connector));
    let (group, watch_roles) = Group::start(options.master, limits, Arc::clone(&peers), log, state_machine).await?;
    let own = introduction(&options, &identity);

    let (failure_sender, failure) = watch::channel(None);
    let (standing_sender, standing) = watch::channel(Standing::Following { elected: None });
    let proposer = Proposer::new(identity.id, group.clone(), Arc::clone(&state), standing.clone());
    let holder = Holder {
        life: Life { master: identity.id, boot: BootId::generate() },
        master: options.master,
        address: options.address.clone(),
        options: options.lease,
        wall_clock: Arc::clone(&options.wall_clock),
    };
    let watched = Watched { lease: state.lease(), cluster: state.cluster(), raft_leader: group.leads() };
    let (stop_keeper, stop) = oneshot::channel();
    let (release_lease, orders) = mpsc::channel(RELEASE_ORDERS_LIMIT);
    let keeper = LeaseKeeper::new(holder, watched, proposer.clone(), standing_sender, orders);
    let keeper = watch_keeper(tokio::spawn(keeper.run(stop)), failure_sender.clone());

    let tasks = vec![
        watch_roles,
        group.tidy(),
        tokio::spawn(align(group.clone(), state.lease(), options.lease.period)),
        watch_group(group.clone(), failure_sender.clone()),
        watch_expulsion(
            peers.expelled(),
            removed(own.clone(), group.clone(), Arc::clone(&peers)),
            failure_sender.clone(),
        ),
        find_group(&options, own.clone(), group.clone(), Arc::clone(&peers), failure_sender.clone()).await?,
        remember_cluster(identity, state.cluster(), directory.root().to_owned(), failure_sender),
    ];
    let admission = Admission {
        disk: identity.id,
        group: group.clone(),
        cluster: state.cluster(),
        highest_master: state.highest_master(),
    };
    let service = RaftService::new(own.clone(), group, admission, directory.incoming());
    let running = Running { stop_keeper, keeper, tasks, log_closed, directory };
    let lease_options = options.lease;
    let parts = Parts { proposer, state, standing, lease_options, release_lease, peers, own, failure, running };
    Ok((Arc::new(ReplicatedStore::new(parts)), service))
}

/// Who this master is before it belongs to a group.
fn introduction(options: &StoreOptions, identity: &Identity) -> Introduction {
    let mut founders: Vec<u64> = options.members.iter().map(|member| member.id).collect();
    founders.sort_unstable();
    Introduction {
        member: Member { id: options.master, name: options.name.clone(), address: options.address.clone() },
        disk: identity.id,
        cluster: identity.cluster,
        founders,
        grouped: false,
    }
}

/// A master with nothing stored founds a group with the others, or waits to be added to one. One that is to be alone
/// asks nobody.
async fn find_group(
    options: &StoreOptions,
    own: Introduction,
    group: Group,
    peers: Arc<Peers>,
    failure: watch::Sender<Option<FatalError>>,
) -> Result<JoinHandle<()>, OpenError> {
    let others = options.members.iter().filter(|member| member.id != options.master);
    let addresses: Vec<String> = others.map(|member| member.address.clone()).chain(options.join.clone()).collect();
    let founding = Founding { own, addresses, group, peers };
    if founding.addresses.is_empty() {
        founding.run().await.map_err(|error| StartError::Members { why: error.to_string() })?;
        return Ok(tokio::spawn(std::future::ready(())));
    }
    Ok(tokio::spawn(async move {
        if let Err(error) = founding.run().await {
            failure.send_replace(Some(FatalError { why: error.to_string() }));
        }
    }))
}

/// The cluster's id for the headers of messages: from the state, or from the identity until the state has it.
fn known_cluster(identity: &Identity, state: &StateStore) -> watch::Receiver<Option<ClusterId>> {
    state.remember(identity.cluster);
    state.cluster()
}
