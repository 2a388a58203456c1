//! A master as a process: opens its store, serves, and stops in order.

mod divided;
mod placed_socket;
mod serving_thread;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::transport::{self, Connector};
use tokio::net::TcpListener;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::clock::{Clock, WallClock};
use crate::config::{Config, InvalidConfig};
use crate::environment::Environment;
use crate::group::Group;
use crate::nodes::GrpcNodeClient;
use crate::office::Office;
use crate::service::{AdminService, KeyValueService, MetadataService, NodeAdminService, RegistryService};
use crate::store::{
    FatalError, LeaseOptions, LogLimits, Member, OpenError, ReplicatedStore, Store, StoreOptions, open_with,
};
use crate::tenure::{Settings, Surroundings};

/// Requests that one connection may have under way.
const STREAMS_PER_CONNECTION: u32 = 1024;
/// How long giving up the lease may take when the master stops; it runs out by itself otherwise.
const FAREWELL_DEADLINE: Duration = Duration::from_millis(600);
/// How long requests under way have to end then.
const DRAIN_DEADLINE: Duration = Duration::from_millis(300);

/// Why a master does not run, or runs no longer.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The address cannot be listened at.
    #[error("cannot listen at {listen}: {error}")]
    Listen {
        /// The address.
        listen: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// The store cannot be opened.
    #[error(
        "cannot use {}: {error}; a master whose disk is damaged is not repaired in place: keep the folder for inquiry, and let the other masters serve",
        dir.display()
    )]
    Open {
        /// The master's directory.
        dir: PathBuf,
        /// What is wrong with it.
        error: OpenError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] FatalError),
    /// Serving failed.
    #[error("cannot serve: {0}")]
    Serve(#[from] tonic::transport::Error),
    /// A thread that serves cannot be started, or ended too early.
    #[error("the thread that serves: {0}")]
    ServingThread(std::io::Error),
    /// A part of the master ended that never ends.
    #[error("a part of the master ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs a master until `shutdown`, then gives up its lease and lets requests under way end, within a second.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    run_in(Environment::default(), config, shutdown).await
}

/// As [`run`], in another environment than the machine's.
pub async fn run_in(
    environment: Environment,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let address = config.listen_address()?;
    let listening = TcpListener::bind(address).await;
    let listener = listening.map_err(|error| RunError::Listen { listen: config.listen.clone(), error })?;
    run_on(environment, config, listener, shutdown).await
}

/// As [`run_in`], on a socket that is open already.
async fn run_on(
    environment: Environment,
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let master = Master::open_in(environment, &config).await?;
    tracing::info!(name = %config.name, listen = %config.listen, "master serves");
    master.run(|routes, close| serve(routes, listener, close), shutdown).await
}

/// Serves over TCP until told to stop, then lets requests under way end for a moment. Where this thread is all that runs
/// the master, a second one serves what it should not be held up by.
pub(crate) async fn serve(routes: Routes, listener: TcpListener, stop: CancellationToken) -> Result<(), RunError> {
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return divided::serve(routes, listener, stop).await;
    }
    let incoming = transport::tcp_incoming(listener);
    Ok(transport::serve(routes, STREAMS_PER_CONNECTION, incoming, stop, DRAIN_DEADLINE).await?)
}

/// A master whose store is open, and that nobody can reach yet.
pub struct Master {
    store: Arc<ReplicatedStore>,
    office: Arc<Office>,
    routes: Routes,
}

impl Master {
    /// Opens the store of a master, which reaches other masters and nodes by `connector`.
    pub async fn open(config: &Config, connector: Arc<dyn Connector>) -> Result<Self, RunError> {
        Self::open_in(Environment { connector, ..Environment::default() }, config).await
    }

    /// As [`Self::open`], in another environment than the machine's.
    pub async fn open_in(environment: Environment, config: &Config) -> Result<Self, RunError> {
        let settings = config.settings()?;
        let options = store_options(config, &environment)?;
        let limits = options.log.into();
        Self::open_with(options, limits, environment.clock, settings).await
    }

    /// As [`Self::open`], with all that a configuration stands for, and with other limits of the log.
    pub async fn open_with(
        options: StoreOptions,
        limits: LogLimits,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Self, RunError> {
        let (dir, connector) = (options.dir.clone(), Arc::clone(&options.connector));
        let (store, raft) = open_with(options, limits).await.map_err(|error| RunError::Open { dir, error })?;
        let around = Surroundings {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock,
            node_client: Arc::new(GrpcNodeClient::new(connector)),
        };
        let office = Arc::new(Office::new(around, settings));
        let routes = routes(&office, Arc::clone(&store) as Arc<dyn Group>)
            .add_service(raft.into_server())
            .add_service(AdminService::new(Arc::clone(&store)).into_server());
        Ok(Self { store, office, routes })
    }

    /// The store.
    pub fn store(&self) -> &Arc<ReplicatedStore> {
        &self.store
    }

    /// Takes part until `shutdown`, then gives up the lease. `serve` serves the services at the master's address until
    /// its token is cancelled.
    pub async fn run<S, F, E>(self, serve: S, shutdown: impl Future<Output = ()>) -> Result<(), RunError>
    where
        S: FnOnce(Routes, CancellationToken) -> F,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<RunError> + Send + 'static,
    {
        let Self { store, office, routes } = self;
        let (retire, close) = (CancellationToken::new(), CancellationToken::new());
        let mut serving = tokio::spawn(serve(routes, close.clone()));
        let following = tokio::spawn({
            let retire = retire.clone();
            async move { office.follow(retire).await }
        });
        let ended = tokio::select! {
            () = shutdown => Ok(()),
            fatal = store.fatal() => Err(RunError::Store(fatal)),
            served = &mut serving => return Err(served?.err().map_or_else(unexpected_end, Into::into)),
        };
        retire.cancel();
        following.await?;
        farewell(&store).await;
        close.cancel();
        serving.await?.map_err(Into::into)?;
        ended
    }
}

fn unexpected_end() -> RunError {
    RunError::Store(FatalError { why: "the server stopped although nobody told it to".to_owned() })
}

/// Gives up the lease while the other masters can still be reached through the server.
async fn farewell(store: &ReplicatedStore) {
    if tokio::time::timeout(FAREWELL_DEADLINE, store.shutdown()).await.is_err() {
        tracing::warn!("stopping without having given up the lease; it runs out by itself");
    }
}

fn store_options(config: &Config, environment: &Environment) -> Result<StoreOptions, InvalidConfig> {
    let own = config.own_member()?;
    let member = |member: &crate::config::MemberConfig| Member {
        id: member.id,
        name: member.name.clone(),
        address: member.address.clone(),
    };
    Ok(StoreOptions {
        dir: config.dir.clone(),
        master: config.id,
        name: config.name.clone(),
        address: own.address,
        join: config.join.clone(),
        members: config.members.iter().map(member).collect(),
        lease: LeaseOptions {
            period: config.timing.lease_period,
            extension: config.timing.lease_extension,
            buffer: config.timing.lease_buffer,
        },
        connector: Arc::clone(&environment.connector),
        log: config.log_options()?,
        wall_clock: Arc::clone(&environment.clock) as Arc<dyn WallClock>,
        log_writing: environment.log_writing,
    })
}

/// The services of a master, without those that masters serve to one another.
pub(crate) fn routes(office: &Arc<Office>, group: Arc<dyn Group>) -> Routes {
    Routes::new(MetadataService::new(Arc::clone(office), group).into_server())
        .add_service(RegistryService::new(Arc::clone(office)).into_server())
        .add_service(NodeAdminService::new(Arc::clone(office)).into_server())
        .add_service(KeyValueService::new(Arc::clone(office)).into_server())
}

#[cfg(test)]
mod tests;
