//! A master as a process: opens its store, serves, and stops in order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::MESSAGE_LIMIT_BYTES;
use cairn_proto::wire::metadata_server::MetadataServer;
use cairn_proto::wire::registry_server::RegistryServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::{Router, TcpIncoming};

use crate::clock::SystemClock;
use crate::config::{Config, InvalidConfig};
use crate::group::Group;
use crate::nodes::GrpcNodeClient;
use crate::office::Office;
use crate::service::{MetadataService, RegistryService};
use crate::store::{FatalError, LeaseOptions, Member, OpenError, ReplicatedStore, Store, StoreOptions, open};
use crate::tenure::Surroundings;

const STREAM_WINDOW_BYTES: u32 = 8 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
const FRAME_BYTES: u32 = 1 << 20;
/// Requests that one connection may have under way.
const STREAMS_PER_CONNECTION: u32 = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_DEADLINE: Duration = Duration::from_secs(5);
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
    /// A part of the master ended that never ends.
    #[error("a part of the master ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
}

/// Runs a master until `shutdown` resolves, then gives up its lease and lets requests under way end, within a second.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    let address = config.listen_address()?;
    let listening = TcpListener::bind(address).await;
    let listener = listening.map_err(|error| RunError::Listen { listen: config.listen.clone(), error })?;
    run_on(config, listener, shutdown).await
}

/// As [`run`], on a socket that is open already.
async fn run_on(
    config: Config,
    listener: TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let settings = config.settings()?;
    let options = store_options(&config)?;
    let dir = options.dir.clone();
    let (store, raft) = open(options).await.map_err(|error| RunError::Open { dir, error })?;
    let around = Surroundings {
        store: Arc::clone(&store) as Arc<dyn Store>,
        clock: Arc::new(SystemClock),
        node_client: Arc::new(GrpcNodeClient::default()),
    };
    let office = Arc::new(Office::new(around, settings));
    let router = router(&office, Arc::clone(&store) as Arc<dyn Group>).add_service(raft.into_server());
    let (retire, close) = (CancellationToken::new(), CancellationToken::new());
    let mut serving = tokio::spawn(serve(router, listener, close.clone()));
    let following = tokio::spawn({
        let (office, retire) = (Arc::clone(&office), retire.clone());
        async move { office.follow(retire).await }
    });
    tracing::info!(name = %config.name, listen = %config.listen, "master serves");
    let ended = tokio::select! {
        () = shutdown => Ok(()),
        fatal = store.fatal() => Err(RunError::Store(fatal)),
        served = &mut serving => return Err(served?.err().map_or_else(unexpected_end, RunError::Serve)),
    };
    retire.cancel();
    following.await?;
    farewell(&store).await;
    close.cancel();
    serving.await??;
    ended
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

fn store_options(config: &Config) -> Result<StoreOptions, InvalidConfig> {
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
        address: own.address.clone(),
        members: config.members.iter().map(member).collect(),
        lease: LeaseOptions {
            period: config.timing.lease_period,
            extension: config.timing.lease_extension,
            buffer: config.timing.lease_buffer,
        },
    })
}

/// The services of a master, without those that masters serve to one another.
pub(crate) fn router(office: &Arc<Office>, group: Arc<dyn Group>) -> Router {
    let metadata = MetadataServer::new(MetadataService::new(Arc::clone(office), group))
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
    let registry = RegistryServer::new(RegistryService::new(Arc::clone(office)))
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
    Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_DEADLINE))
        .add_service(metadata)
        .add_service(registry)
}

/// Serves until told to stop, then lets requests under way end for a moment.
pub(crate) async fn serve(
    router: Router,
    listener: TcpListener,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let mut serving = std::pin::pin!(router.serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned()));
    tokio::select! {
        ended = &mut serving => return ended,
        () = stop.cancelled() => {}
    }
    // A peer that connected and says nothing would hold a graceful stop up for ever.
    tokio::time::timeout(DRAIN_DEADLINE, serving).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests;
