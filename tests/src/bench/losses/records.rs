use std::io;
use std::time::{Duration, Instant};

use cairn_codec::Layout;
use cairn_proto::ids::{BlobId, InvalidId};
use cairn_proto::transport::{Connector, Liveness, TcpConnector, channel};
use cairn_proto::wire;
use cairn_proto::wire::metadata_client::MetadataClient;
use cairn_proto::wire::node_admin_client::NodeAdminClient;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::transport::Channel;

/// Writes under way at a time.
const AT_ONCE: u32 = 16;
/// How often a request is made before its refusal counts, and how long it waits in between: a master that is busy with
/// very many nodes holds some of them for silent, for a moment.
const TRIES: u32 = 100;
const TRY_AGAIN: Duration = Duration::from_millis(100);
/// How often the session is kept alive.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// The node that is lost.
const LOST_NODE: &str = "node-0";

/// In which all nodes have to serve writes, and how soon it is asked again.
const NODES_DEADLINE: Duration = Duration::from_mins(1);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Why a record was not made.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// No runtime.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The address of the master is none.
    #[error("{0}")]
    Address(String),
    /// Not all nodes serve writes.
    #[error("of {nodes} nodes {active} serve writes after {} s", NODES_DEADLINE.as_secs())]
    Nodes {
        /// All.
        nodes: u32,
        /// Those that do.
        active: usize,
    },
    /// The master says no.
    #[error("the master: {0}")]
    Refused(#[from] Box<Status>),
    /// It answers what it should not.
    #[error("the master answers an id that is none: {0}")]
    Id(#[from] InvalidId),
}

/// Puts segments on record whose cells are nowhere, as a client would that had written them. Its session lives as long
/// as it does.
pub(super) struct Writer {
    runtime: Runtime,
    masters: MetadataClient<Channel>,
    session: u64,
    layout: Layout,
}

impl Writer {
    /// With a session of its own, once all nodes serve writes.
    pub(super) fn open(master: &str, nodes: u32) -> Result<Self, RecordsError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let connector: &dyn Connector = &TcpConnector;
        let channel = runtime.block_on(async { channel(connector, master, Liveness::USUAL) });
        let channel = channel.map_err(|error| RecordsError::Address(error.to_string()))?;
        runtime.block_on(wait_active(channel.clone(), nodes))?;
        let mut masters = MetadataClient::new(channel);
        let opened = runtime.block_on(masters.open_session(wire::OpenSessionRequest::default())).map_err(Box::new)?;
        let session = opened.into_inner().session;
        runtime.spawn(keep_alive(masters.clone(), session));
        Ok(Self { runtime, masters, session, layout: Layout::DEFAULT })
    }

    /// Puts so many segments of one row each on record; answers how many chunks the node has that will be lost.
    pub(super) fn write(&self, segments: u32) -> Result<u64, RecordsError> {
        self.runtime.block_on(async {
            let mut lost = 0;
            let numbers: Vec<u64> = (1..=u64::from(segments)).collect();
            for batch in numbers.chunks(AT_ONCE as usize) {
                let writing = stream::iter(batch).map(|number| self.write_one(*number, batch[0]));
                let found: Vec<u64> = writing.buffer_unordered(AT_ONCE as usize).try_collect().await?;
                lost += found.iter().sum::<u64>();
            }
            Ok(lost)
        })
    }

    async fn write_one(&self, sequence: u64, lowest_unanswered: u64) -> Result<u64, RecordsError> {
        let (masters, key) = (&self.masters, format!("segment-{sequence}"));
        let transaction = Some(wire::TransactionId { session: self.session, sequence });
        let request = wire::OpenTransactionRequest { transaction, key: key.clone(), ..Default::default() };
        let opened = repeated(|| {
            let (mut masters, request) = (masters.clone(), request.clone());
            async move { masters.open_transaction(request).await }
        });
        let opened = opened.await?.into_inner();
        let on_lost = opened.targets.iter().filter(|target| target.name == LOST_NODE).map(|_| 1).sum();
        let request = Some(wire::RequestId { client: self.session, sequence, lowest_unanswered });
        let commit = wire::CommitBlobRequest { request, key, ..self.commit(&opened, sequence) };
        let committed = repeated(|| {
            let (mut masters, commit) = (masters.clone(), commit.clone());
            async move { masters.commit_blob(commit).await }
        });
        committed.await?;
        Ok(on_lost)
    }

    fn commit(&self, opened: &wire::OpenTransactionResponse, sequence: u64) -> wire::CommitBlobRequest {
        let size_bytes = self.layout.row_size_bytes() as u64;
        let sealed = wire::Segment {
            id: opened.segment.clone(),
            layout: opened.layout,
            length_bytes: size_bytes,
            chunks: opened.targets.iter().enumerate().map(|target| self.chunk(size_bytes, target)).collect(),
            transaction: Some(wire::TransactionId { session: self.session, sequence }),
            ..Default::default()
        };
        let extent = wire::Extent { segment: opened.segment.clone(), first_row: 0, rows: 1, length_bytes: size_bytes };
        wire::CommitBlobRequest {
            blob: BlobId::generate().to_wire(),
            extents: vec![extent],
            sealed: Some(sealed),
            size_bytes,
            digest: vec![9; 32].into(),
            attributes: Some(wire::Attributes { mode: 0o644, ..Default::default() }),
            ..Default::default()
        }
    }

    fn chunk(&self, size_bytes: u64, (index, target): (usize, &wire::NodeInfo)) -> wire::Chunk {
        let size = self.layout.chunk_size(size_bytes, index);
        wire::Chunk {
            node: target.id.clone(),
            incarnation: target.incarnation.clone(),
            cells: size.cells,
            length_bytes: size.length_bytes,
            digest: vec![7; 32].into(),
        }
    }
}

/// Makes a request, again where it is refused.
async fn repeated<T, Asking: Future<Output = Result<T, Status>>>(
    mut ask: impl FnMut() -> Asking,
) -> Result<T, RecordsError> {
    for _ in 1..TRIES {
        if let Ok(answer) = ask().await {
            return Ok(answer);
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    ask().await.map_err(|status| Box::new(status).into())
}

async fn wait_active(channel: Channel, nodes: u32) -> Result<(), RecordsError> {
    let (mut admin, end) = (NodeAdminClient::new(channel), Instant::now() + NODES_DEADLINE);
    loop {
        let listed = admin.list_nodes(wire::ListNodesRequest {}).await.map_err(Box::new)?.into_inner();
        let states = listed.nodes.iter().filter_map(|status| Some(status.node.as_ref()?.state()));
        let active = states.filter(|state| *state == wire::NodeState::Active).count();
        if active == nodes as usize {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(RecordsError::Nodes { nodes, active });
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

async fn keep_alive(mut masters: MetadataClient<Channel>, session: u64) {
    let mut ticks = tokio::time::interval(HEARTBEAT);
    loop {
        ticks.tick().await;
        // A session that ends is seen by the next commit.
        drop(masters.heartbeat(wire::HeartbeatRequest { session, ..Default::default() }).await);
    }
}
