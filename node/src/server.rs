use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::transport;
use cairn_proto::wire::chunks_server::ChunksServer;
use cairn_proto::wire::node_control_server::NodeControlServer;
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, MESSAGE_LIMIT_BYTES};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::{LayerExt, Routes};
use tower::util::MapResponseLayer;

use crate::background::Background;
use crate::config::{Config, InvalidConfig};
use crate::devices::{Device, Places};
use crate::fatal::Fatal;
use crate::home::Home;
use crate::identity::IdentityError;
use crate::node::{Node, Presence};
use crate::registration::{JoinError, Registration};
use crate::relay::Relays;
use crate::scrub::Scrubs;
use crate::service::{ChunkService, ControlService, with_made_body};
use crate::store::{BULK_FROM_BYTES, LogSyncing, MemoryShares, Store, StoreError, StoreOptions};
use crate::stores::{DeviceStore, Stores};

/// Streams of one connection: a client keeps one open for each file being written.
const STREAMS_PER_CONNECTION: u32 = 4_096;
/// How long a stop waits for requests under way. A peer that says nothing would hold it up for ever.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Why a node does not run, or runs no more.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The directory is refused.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store does not open.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The masters do not take this node.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the kernel says.
        source: std::io::Error,
    },
    /// The server stopped by itself.
    #[error("the server failed: {0}")]
    Server(String),
    /// The disk lost a write, so nothing more may be acknowledged by this process.
    #[error("the node ended because {0}; check the disk, then start it again")]
    Disk(String),
}

/// Runs a node until `shutdown`, or until it must not go on.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<(), RunError> {
    run_with(LogSyncing::Synced, config, shutdown).await
}

/// As [`run`], with a log that may not be synced.
pub async fn run_with(
    syncing: LogSyncing,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let running = RunningNode::start_with(syncing, config).await?;
    running.run_until(shutdown).await
}

/// A node that serves.
pub struct RunningNode {
    address: SocketAddr,
    fatal: Fatal,
    registration: Registration,
    stop: CancellationToken,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
    scrubbing: JoinHandle<()>,
}

impl RunningNode {
    /// Opens the directory, then listens: whoever reaches the address finds a node that is ready.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        Self::start_with(LogSyncing::Synced, config).await
    }

    async fn start_with(syncing: LogSyncing, config: Config) -> Result<Self, RunError> {
        config.check()?;
        let fatal = Fatal::new();
        let shares = MemoryShares::of(config.memory.as_u64());
        let opened = {
            let (config, fatal) = (config.clone(), fatal.clone());
            tokio::task::spawn_blocking(move || open(&config, shares, syncing, &fatal)).await
        };
        let (home, stores) = opened.map_err(|error| RunError::Server(error.to_string()))??;
        let listening = |source| RunError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let presence = Presence {
            name: config.name.clone(),
            address: config.advertise.clone().unwrap_or_else(|| address.to_string()),
            locality: config.labels(),
        };
        let relays = Relays::new(config.masters.clone());
        let stop = CancellationToken::new();
        let background = Arc::new(Background::new(config.background_bandwidth.as_u64()));
        let scrubs = Arc::new(Scrubs::new(&stores, config.scrub_period, background, &stop));
        let node = Node::new(home, stores, presence, shares, relays, fatal.clone(), Arc::clone(&scrubs))?;
        let node = Arc::new(node);
        let (id, incarnation) = (node.id(), node.incarnation());
        tracing::info!(name = config.name, %id, %incarnation, %address, "the node serves");
        let server = tokio::spawn(serve(listener, Arc::clone(&node), stop.clone()));
        let registration = Registration::new(node, config.masters, config.planned_stop);
        Ok(Self { address, fatal, registration, stop, server, scrubbing: tokio::spawn(scrubs.run()) })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Keeps it registered until `shutdown`, then lets requests under way end.
    pub async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<(), RunError> {
        let ended = tokio::select! {
            cause = self.fatal.raised() => Err(RunError::Disk(cause)),
            error = self.registration.keep() => Err(error.into()),
            outcome = &mut self.server => return Err(RunError::Server(ended_early(outcome))),
            () = shutdown => Ok(()),
        };
        if ended.is_ok() {
            self.registration.leave().await;
        }
        self.stop.cancel();
        if let Err(error) = self.scrubbing.await {
            tracing::error!(%error, "the scrubber was cut off");
        }
        match self.server.await {
            Ok(Ok(())) => ended,
            outcome => ended.and(Err(RunError::Server(ended_early(outcome)))),
        }
    }
}

fn open(
    config: &Config,
    shares: MemoryShares,
    syncing: LogSyncing,
    fatal: &Fatal,
) -> Result<(Home, Arc<Stores>), RunError> {
    let places = Places {
        devices: &config.devices,
        without: &config.without_devices,
        limit_bytes: config.limit.map(|limit| limit.as_u64()),
    };
    let home = Home::open(&config.dir, &config.name, &places)?;
    let shares = shares.divided_by(home.devices().len());
    let open = |device| open_device(&home, device, shares, syncing, fatal);
    let stores = home.devices().iter().map(open).collect::<Result<_, _>>()?;
    Ok((home, Arc::new(Stores::new(stores))))
}

fn open_device(
    home: &Home,
    device: &Device,
    shares: MemoryShares,
    syncing: LogSyncing,
    fatal: &Fatal,
) -> Result<DeviceStore, StoreError> {
    let options = StoreOptions {
        database: device.database(),
        staging: device.staging(),
        owner: format!("{} {}", home.identity().node, home.identity().incarnation),
        limit_bytes: device.limit_bytes(),
        shares,
        bulk_from_bytes: BULK_FROM_BYTES,
        syncing,
    };
    let fatal = if home.devices().len() > 1 { fatal.of_device(device.name()) } else { fatal.clone() };
    let store = Arc::new(Store::open(&options, fatal)?);
    Ok(DeviceStore { device: device.name().to_owned(), store })
}

async fn serve(listener: TcpListener, node: Arc<Node>, stop: CancellationToken) -> Result<(), tonic::transport::Error> {
    let chunks = ChunksServer::new(ChunkService::new(Arc::clone(&node)))
        .max_decoding_message_size(BULK_MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(BULK_MESSAGE_LIMIT_BYTES);
    let chunks = MapResponseLayer::new(with_made_body).named_layer(chunks);
    let control = NodeControlServer::new(ControlService::new(node))
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
    let routes = Routes::new(chunks).add_service(control);
    transport::serve(routes, STREAMS_PER_CONNECTION, transport::tcp_incoming(listener), stop, STOP_LIMIT).await
}

fn ended_early(outcome: Result<Result<(), tonic::transport::Error>, tokio::task::JoinError>) -> String {
    match outcome {
        Ok(Ok(())) => "it stopped without being told to".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}
