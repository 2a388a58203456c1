use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// The line at which the first node falls silent.
pub(super) const LOSE: &str = "lose";

/// What all nodes have done.
#[derive(Debug, Default)]
struct Tally {
    beats: AtomicU64,
    rebuilt: AtomicU64,
    orders: AtomicU64,
    is_first_lost: AtomicBool,
}

/// So many nodes in this process, which join the master at `master` and answer its heartbeats, each at a socket of its
/// own. They list no chunks, or, `unlisted`, refuse to list: then they may be named in records. What they are to rebuild they
/// have at once. For each line on standard input, the heartbeats answered so far, the chunks rebuilt and all orders are told on
/// standard output; at the line "lose" the first node falls silent. Ends with its input.
pub fn simulate_nodes(nodes: u32, master: &str, unlisted: bool) -> Result<(), SimulationError> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(io::Error::from)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let tally = Arc::new(Tally::default());
    let connector: &dyn Connector = &TcpConnector;
    let channel = runtime.block_on(async { channel(connector, master, Liveness::USUAL) });
    let channel = channel.map_err(|error| SimulationError::Address(error.to_string()))?;
    let counted = Arc::clone(&tally);
    let joining = runtime.spawn(async move {
        let starting = stream::iter(0..nodes).map(|number| {
            let (tally, channel) = (Arc::clone(&counted), channel.clone());
            async move { start(number, tally, unlisted, channel).await }
        });
        starting.buffer_unordered(JOINING_AT_ONCE).try_collect::<()>().await
    });
    for line in io::stdin().lock().lines() {
        if line? == LOSE {
            tally.is_first_lost.store(true, Ordering::Relaxed);
        }
        let told = [&tally.beats, &tally.rebuilt, &tally.orders].map(|count| count.load(Ordering::Relaxed));
        if joining.is_finished() && told[0] == 0 {
            break;
        }
        writeln!(io::stdout(), "{} {} {}", told[0], told[1], told[2])?;
    }
    if joining.is_finished() { runtime.block_on(joining).map_err(io::Error::other)? } else { Ok(()) }
}

async fn start(number: u32, tally: Arc<Tally>, unlisted: bool, master: Channel) -> Result<(), SimulationError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let node = SimulatedNode {
        info: info(number, listener.local_addr()?.to_string()),
        is_first: number == 0,
        unlisted,
        tally,
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
    is_first: bool,
    unlisted: bool,
    tally: Arc<Tally>,
    versions: StatsVersions,
}

impl SimulatedNode {
    /// An order, which a lost node does not hear.
    fn ordered<T>(&self, answer: T) -> Result<Response<T>, Status> {
        self.tally.orders.fetch_add(1, Ordering::Relaxed);
        self.heard().map(|()| Response::new(answer))
    }

    fn heard(&self) -> Result<(), Status> {
        let is_lost = self.is_first && self.tally.is_first_lost.load(Ordering::Relaxed);
        if is_lost { Err(Status::unavailable("the node is lost")) } else { Ok(()) }
    }

    /// The chunk that is asked for, as it would be here.
    fn rebuilt(&self, request: wire::RebuildChunkRequest) -> Result<wire::RebuildChunkResponse, Status> {
        let number = usize::try_from(request.chunk_index).unwrap_or(usize::MAX);
        let expected = request.segment.and_then(|segment| segment.chunks.into_iter().nth(number));
        let expected = expected.ok_or_else(|| Status::invalid_argument("no such chunk"))?;
        let (node, incarnation) = (self.info.id.clone(), self.info.incarnation.clone());
        let chunk = wire::Chunk { node, incarnation, ..expected };
        Ok(wire::RebuildChunkResponse { cells: chunk.cells, read_bytes: 0, chunk: Some(chunk) })
    }
}

#[async_trait]
impl NodeControl for SimulatedNode {
    async fn get_stats(
        &self,
        request: Request<wire::GetStatsRequest>,
    ) -> Result<Response<wire::GetStatsResponse>, Status> {
        self.heard()?;
        let beats = self.tally.beats.fetch_add(1, Ordering::Relaxed);
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
        self.ordered(wire::CreateBlobResponse { boot: self.info.boot.clone() })
    }

    async fn revoke_session(
        &self,
        _: Request<wire::RevokeSessionRequest>,
    ) -> Result<Response<wire::RevokeSessionResponse>, Status> {
        self.ordered(wire::RevokeSessionResponse::default())
    }

    async fn delete_blob(
        &self,
        _: Request<wire::DeleteBlobRequest>,
    ) -> Result<Response<wire::DeleteBlobResponse>, Status> {
        self.ordered(wire::DeleteBlobResponse::default())
    }

    async fn list_blobs(
        &self,
        _: Request<wire::ListBlobsRequest>,
    ) -> Result<Response<wire::ListBlobsResponse>, Status> {
        if self.unlisted {
            return Err(Status::unavailable("what is kept here is not told"));
        }
        Ok(Response::new(wire::ListBlobsResponse::default()))
    }

    type RebuildChunkStream = tokio_stream::Once<Result<wire::RebuildChunkResponse, Status>>;

    async fn rebuild_chunk(
        &self,
        request: Request<wire::RebuildChunkRequest>,
    ) -> Result<Response<Self::RebuildChunkStream>, Status> {
        let rebuilt = self.rebuilt(request.into_inner())?;
        let answer = self.ordered(tokio_stream::once(Ok(rebuilt)))?;
        self.tally.rebuilt.fetch_add(1, Ordering::Relaxed);
        Ok(answer)
    }

    async fn start_scrub(
        &self,
        _: Request<wire::StartScrubRequest>,
    ) -> Result<Response<wire::StartScrubResponse>, Status> {
        Err(Status::unimplemented("nothing is kept here"))
    }
}
