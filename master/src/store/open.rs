use std::io;
use std::sync::Arc;

use cairn_proto::ids::{BootId, ClusterId};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use super::directory::{DirectoryError, StoreDirectory};
use super::identity::{Identity, IdentityError};
use super::proposer::Proposer;
use super::raft::{LogLimits, LogStore, Peers, StartError, StateMachine};
use super::replicated::{FatalError, Parts, ReplicatedStore, Running};
use super::state_store::{StateError, StateStore};
use super::{Group, Member, ReadError, Standing, StoreOptions};
use crate::lease::Life;
use crate::lease::keeper::{Holder, LeaseKeeper, Watched};
use crate::service::RaftService;

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
    open_with(options, LogLimits::default()).await
}

/// As [`open`], with other limits of the log.
pub(super) async fn open_with(
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
        let log = LogStore::open(&directory.log(), create).map_err(OpenError::Log)?;
        let state = Arc::new(StateStore::open(&directory.state(), create)?);
        let state_machine = StateMachine::new(Arc::clone(&state), directory.snapshots())?;
        if create && !(log.is_empty() && state_machine.is_empty()) {
            return Err(OpenError::NoIdentity);
        }
        let identity = known.unwrap_or_else(|| Identity::generate(options.master));
        if create {
            // Last of all: with an identity on disk, a missing log or state is a loss and no first start.
            identity.write(directory.root())?;
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
    if !ids.contains(&options.master) {
        return refuse(format!("master {} is not among the members", options.master));
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
    let peers =
        Arc::new(Peers::new(&options.members, known_cluster(&identity, &state), Arc::clone(&options.connector)));
    let members: Vec<Member> = options.members.iter().map(|member| own_address(member, &options)).collect();
    let (group, watch_roles) = Group::start(options.master, &members, limits, peers, log, state_machine).await?;

    let (standing_sender, standing) = watch::channel(Standing::Following { elected: None });
    let proposer = Proposer::new(identity.id, group.clone(), Arc::clone(&state), standing.clone());
    let holder = Holder {
        life: Life { master: identity.id, boot: BootId::generate() },
        master: options.master,
        address: options.address.clone(),
        options: options.lease,
    };
    let watched = Watched { lease: state.lease(), cluster: state.cluster(), raft_leader: group.leads() };
    let (stop_keeper, stop) = oneshot::channel();
    let keeper = LeaseKeeper::new(holder, watched, proposer.clone(), standing_sender);
    let keeper = tokio::spawn(keeper.run(stop));

    let (failure_sender, failure) = watch::channel(None);
    let tasks = vec![
        watch_roles,
        watch_group(group.clone(), failure_sender.clone()),
        remember_cluster(identity, state.cluster(), directory.root().to_owned(), failure_sender),
    ];
    let service = RaftService::new(options.master, group, state.cluster(), directory.incoming());
    let running = Running { stop_keeper, keeper, tasks, log_closed, directory };
    let parts = Parts { proposer, state, standing, lease_options: options.lease, failure, running };
    Ok((Arc::new(ReplicatedStore::new(parts)), service))
}

/// The cluster's id for the headers of messages: from the state, or from the identity until the state has it.
fn known_cluster(identity: &Identity, state: &StateStore) -> watch::Receiver<Option<ClusterId>> {
    state.remember(identity.cluster);
    state.cluster()
}

fn own_address(member: &Member, options: &StoreOptions) -> Member {
    if member.id == options.master {
        Member { id: member.id, name: options.name.clone(), address: options.address.clone() }
    } else {
        member.clone()
    }
}

fn watch_group(group: Group, failure: watch::Sender<Option<FatalError>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let why = group.failed().await;
        tracing::error!(why, "the Raft group has failed on this master");
        failure.send_replace(Some(FatalError { why }));
    })
}

/// Keeps the cluster's id in the identity too, so that parts of two directories are told apart.
fn remember_cluster(
    mut identity: Identity,
    mut cluster: watch::Receiver<Option<ClusterId>>,
    root: std::path::PathBuf,
    failure: watch::Sender<Option<FatalError>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Ok(known) = cluster.wait_for(Option::is_some).await.map(|known| *known) else { return };
        if identity.cluster == known {
            return;
        }
        identity.cluster = known;
        let written = tokio::task::spawn_blocking(move || identity.write(&root)).await;
        let why = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        failure.send_replace(Some(FatalError { why }));
    })
}
