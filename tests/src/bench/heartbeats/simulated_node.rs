use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::ids::{BootId, IncarnationId, NodeId};
use cairn_proto::transport::{Connector, Liveness, TcpConnector, channel, server_builder, tcp_incoming};
use cairn_proto::wire::node_control_server::{NodeControl, NodeControlServer};
use cairn_proto::wire::registry_client::RegistryClient;
use cairn_proto::{StatsVersions, wire};
use futures_util::{StreamExt, TryStreamExt, stream};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, async_trait};

/// Nodes that join at a time.
const JOINING_AT_ONCE: usize = 32;
/// How often a node tries to join, and how long it waits in between.
const JOIN_TRIES: u32 = 100;
const JOIN_AGAIN: Duration = Duration::from_millis(100);
const STREAMS_PER_CONNECTION: u32 = 1024;

/// Why the nodes do not run.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// No more sockets, or nobody listens any more.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The address of the master is none.
    #[error("{0}")]
    Address(String),
    /// The master takes a node not in.
    #[error("a node cannot join: {0}")]
    Join(#[from] Box<Status>),
}

/// So many nodes in this process, which join the master at `master` and answer its heartbeats, each at a socket of its
/// own. For each line on standard input, the heartbeats answered so far are told on standard output. Ends with its input.
pub fn simulate_nodes(nodes: u32, master: &str) -> Result<(), SimulationError> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(io::Error::from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let beats = Arc::new(AtomicU64::new(0));
    let connector: &dyn Connector = &TcpConnector;
    let channel = runtime.block_on(async { channel(connector, master, Liveness::USUAL) });
    let channel = channel.map_err(|error| SimulationError::Address(error.to_string()))?;
    let counted = Arc::clone(&beats);
    let joining = runtime.spawn(async move {
        let starting = stream::iter(0..nodes).map(|number| start(number, Arc::clone(&counted), channel.clone()));
        starting.buffer_unordered(JOINING_AT_ONCE).try_collect::<()>().await
    });
    for line in io::stdin().lock().lines() {
        line?;
        if joining.is_finished() && beats.load(Ordering::Relaxed) == 0 {
            break;
        }
        writeln!(io::stdout(), "{}", beats.load(Ordering::Relaxed))?;
    }
    if joining.is_finished() { runtime.block_on(joining).map_err(io::Error::other)? } else { Ok(()) }
}

async fn start(number: u32, beats: Arc<AtomicU64>, master: Channel) -> Result<(), SimulationError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let node = SimulatedNode {
        info: info(number, listener.local_addr()?.to_string()),
        beats,
        versions: StatsVersions::default(),
    };
    let joining = wire::JoinRequest { cluster: Bytes::new(), node: Some(node.info.clone()) };
    let server = server_builder(STREAMS_PER_CONNECTION).add_service(NodeControlServer::new(node));
    tokio::spawn(server.serve_with_incoming(tcp_incoming(listener)));
    let mut registry = RegistryClient::new(master);
    for _ in 1..JOIN_TRIES {
        if registry.join(joining.clone()).await.is_ok() {
            return Ok(());
        }
        tokio::time::sleep(JOIN_AGAIN).await;
    }
    registry.join(joining).await.map(drop).map_err(|status| Box::new(status).into())
}

fn info(number: u32, address: String) -> wire::NodeInfo {
    let label = |key: &str, value: String| wire::Label { key: key.to_owned(), value };
    wire::NodeInfo {
        id: NodeId::generate().to_wire(),
        incarnation: IncarnationId::generate().to_wire(),
        boot: BootId::generate().to_wire(),
        name: format!("node-{number}"),
        address,
        locality: vec![
            label("datacenter", format!("dc-{}", number % 4)),
            label("rack", format!("rack-{}", number % 40)),
            label("host", format!("host-{number}")),
        ],
        devices: vec![wire::Device {
            name: "data".to_owned(),
            limit_bytes: 8 << 40,
            used_bytes: 3 << 40,
            reserved_bytes: 0,
        }],
        ..wire::NodeInfo::default()
    }
}

/// A node that keeps nothing.
struct SimulatedNode {
    info: wire::NodeInfo,
    beats: Arc<AtomicU64>,
    versions: StatsVersions,
}

fn no_such_order<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("nothing is kept here"))
}

#[async_trait]
impl NodeControl for SimulatedNode {
    async fn get_stats(
        &self,
        request: Request<wire::GetStatsRequest>,
    ) -> Result<Response<wire::GetStatsResponse>, Status> {
        let beats = self.beats.fetch_add(1, Ordering::Relaxed);
        let scrub = wire::ScrubStatus {
            running: true,
            verified_chunks: beats,
            verified_bytes: beats << 20,
            rate_bytes_per_s: 1 << 20,
            ..wire::ScrubStatus::default()
        };
        let full = wire::GetStatsResponse {
            node: Some(self.info.clone()),
            sealed_chunks: 1_000_000,
            scrub: Some(scrub),
            ..wire::GetStatsResponse::default()
        };
        Ok(Response::new(self.versions.answer(request.into_inner().known_version, full)))
    }

    async fn create_blob(
        &self,
        _: Request<wire::CreateBlobRequest>,
    ) -> Result<Response<wire::CreateBlobResponse>, Status> {
        no_such_order()
    }

    async fn revoke_session(
        &self,
        _: Request<wire::RevokeSessionRequest>,
    ) -> Result<Response<wire::RevokeSessionResponse>, Status> {
        no_such_order()
    }

    async fn delete_blob(
        &self,
        _: Request<wire::DeleteBlobRequest>,
    ) -> Result<Response<wire::DeleteBlobResponse>, Status> {
        no_such_order()
    }

    async fn list_blobs(
        &self,
        _: Request<wire::ListBlobsRequest>,
    ) -> Result<Response<wire::ListBlobsResponse>, Status> {
        Ok(Response::new(wire::ListBlobsResponse::default()))
    }

    type RebuildChunkStream = tokio_stream::Once<Result<wire::RebuildChunkResponse, Status>>;

    async fn rebuild_chunk(
        &self,
        _: Request<wire::RebuildChunkRequest>,
    ) -> Result<Response<Self::RebuildChunkStream>, Status> {
        no_such_order()
    }

    async fn start_scrub(
        &self,
        _: Request<wire::StartScrubRequest>,
    ) -> Result<Response<wire::StartScrubResponse>, Status> {
        no_such_order()
    }
}
