use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::SegmentId;
use cairn_proto::{Refusal, records, wire};
use fail::fail_point;
use futures_util::future::join;
use tokio::sync::AcquireError;
use tokio::time::timeout;
use tokio_stream::Empty;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use wire::chunks_server::Chunks;
use wire::get_chunk_request::Version;

use super::cell_body::{CellBody, MadeBody};
use super::detached;
use super::read_stream::{ReadChunk, ReadPermits, ReadPurpose, ReadStream};
use super::relay_request::relay_targets;
use super::request::{WriteTarget, chunk_index, expected_tally, frames, invalid, row_ranges};
use crate::admission::not_admitted;
use crate::node::Node;
use crate::store::{Cells, StoreError, Tally, Target};

/// How long a read waits while as many as memory allows are being served.
const READ_WAIT: Duration = Duration::from_secs(10);

/// Chunks, for clients.
pub(crate) struct ChunkService {
    node: Arc<Node>,
}

impl ChunkService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl Chunks for ChunkService {
    async fn put_chunk(
        &self,
        request: Request<Streaming<wire::PutChunkRequest>>,
    ) -> Result<Response<wire::PutChunkResponse>, Status> {
        let node = Arc::clone(&self.node);
        let stored_cells = detached(take_in(node, request.into_inner())).await?;
        Ok(Response::new(wire::PutChunkResponse { stored_cells }))
    }

    async fn seal_blob(
        &self,
        request: Request<wire::SealBlobRequest>,
    ) -> Result<Response<wire::SealBlobResponse>, Status> {
        let node = Arc::clone(&self.node);
        let chunk = detached(async move { Ok(seal(&node, request.into_inner()).await?) }).await?;
        Ok(Response::new(wire::SealBlobResponse { chunk: Some(chunk) }))
    }

    /// The cells go out in a body of their own, which the response carries: see [`with_made_body`].
    type GetChunkStream = Empty<Result<wire::GetChunkResponse, Status>>;

    async fn get_chunk(
        &self,
        request: Request<wire::GetChunkRequest>,
    ) -> Result<Response<Self::GetChunkStream>, Status> {
        let request = request.into_inner();
        let segment = SegmentId::from_wire(&request.segment).map_err(Refusal::from)?;
        let ranges = row_ranges(&request.ranges)?;
        let sealed_chunk = match &request.version {
            Some(Version::Digest(_)) => Some(chunk_index(request.chunk_index)?),
            _ => None,
        };
        let purpose = if request.background { ReadPurpose::Background } else { ReadPurpose::Client };
        let permits = read_permits(&self.node, purpose).await?;
        let cells = readable(&self.node, segment, request).await?;
        let chunk = ReadChunk { segment, sealed_chunk, cells, ranges };
        let portions = ReadStream::start(&self.node, chunk, purpose, permits);
        let mut response = Response::new(tokio_stream::empty());
        response.extensions_mut().insert(MadeBody::new(CellBody::new(portions).await));
        Ok(response)
    }
}

/// Gives a response the body that the service made for it, in the place of the one that was generated.
pub(crate) fn with_made_body(mut response: http::Response<Body>) -> http::Response<Body> {
    match response.extensions_mut().remove::<MadeBody>().and_then(|made| made.take()) {
        Some(body) => response.map(|_| Body::new(body)),
        None => response,
    }
}

/// Takes in a stream of cells until its end, or the end of its session.
async fn take_in(node: Arc<Node>, mut stream: Streaming<wire::PutChunkRequest>) -> Result<u64, Status> {
    let Some(first) = stream.message().await? else { return Err(invalid("an empty stream").into()) };
    let target = WriteTarget::try_from(first.target)?;
    let session = require_writer(&node, &target)?;
    let target = target.target;
    let mut relaying = node.relays.start(relay_targets(node.id(), &target, first.relays)?);
    let mut stored = 0;
    let mut cells = first.cells;
    loop {
        let frames = frames(&target, cells)?;
        let count = frames.len() as u64;
        let passed = relaying.share(&frames);
        let put = node.stores.put(&target, frames, || require_open(&session, &target));
        let (put, ()) = join(put, relaying.pass(passed)).await;
        put.map_err(|error| write_refusal(&node, error, &session, &target))?;
        fail_point!("cells-stored");
        stored += count;
        let next = tokio::select! {
            biased;
            () = session.cancelled() => return Err(not_admitted(target.transaction.session).into()),
            next = stream.message() => next?,
        };
        let Some(next) = next else {
            relaying.finish().await;
            return Ok(stored);
        };
        if next.target.is_some() || !next.relays.is_empty() {
            return Err(invalid("a target after the first message of a stream").into());
        }
        cells = next.cells;
    }
}

async fn seal(node: &Node, request: wire::SealBlobRequest) -> Result<wire::Chunk, Refusal> {
    let target = WriteTarget::try_from(request.target)?;
    let expected = expected_tally(request.expected)?;
    target.require_incarnation(node)?;
    // A chunk that is sealed stays so, whatever became of the boot or the session.
    if let Some(tally) = node.stores.sealed(&target.target, &expected)? {
        return Ok(sealed_chunk(node, &tally));
    }
    let session = require_writer(node, &target)?;
    let target = target.target;
    let relays = relay_targets(node.id(), &target, request.relays)?;
    let frames = frames(&target, request.cells)?;
    let mut relaying = node.relays.start(if frames.is_empty() { Vec::new() } else { relays });
    let passed = relaying.share(&frames);
    let pass_on = async {
        relaying.pass(passed).await;
        relaying.finish().await;
    };
    let sealed = node.stores.seal(&target, frames, &expected, || require_open(&session, &target));
    let (sealed, ()) = join(sealed, pass_on).await;
    let tally = sealed.map_err(|error| write_refusal(node, error, &session, &target))?;
    Ok(sealed_chunk(node, &tally))
}

fn require_writer(node: &Node, target: &WriteTarget) -> Result<CancellationToken, Refusal> {
    target.require_incarnation(node)?;
    target.require_boot(node)?;
    node.admission.require(target.target.transaction.session)
}

fn require_open(session: &CancellationToken, target: &Target) -> Result<(), StoreError> {
    if session.is_cancelled() { Err(StoreError::Dropped { segment: target.segment }) } else { Ok(()) }
}

/// The end of the session explains whatever its writes ran into.
fn write_refusal(node: &Node, error: StoreError, session: &CancellationToken, target: &Target) -> Refusal {
    if session.is_cancelled() {
        return not_admitted(target.transaction.session);
    }
    if matches!(error, StoreError::WriteFailed { .. } | StoreError::CellCorrupt { .. }) {
        tracing::error!(node = node.name(), segment = %target.segment, %error, "a write was refused");
    }
    error.into()
}

pub(super) fn sealed_chunk(node: &Node, tally: &Tally) -> wire::Chunk {
    wire::Chunk::from(&records::Chunk {
        place: Some(records::ChunkPlace { node: node.id(), incarnation: node.incarnation() }),
        cells: tally.cells,
        length_bytes: tally.length_bytes,
        digest: *tally.digest.as_bytes(),
    })
}

async fn read_permits(node: &Node, purpose: ReadPurpose) -> Result<ReadPermits, Refusal> {
    let busy = || Refusal::NotReady { why: "too many reads at once".to_owned() };
    let permits = async {
        // First the one that clients do not need: whoever waits for it leaves them theirs.
        let background = match purpose {
            ReadPurpose::Client => None,
            ReadPurpose::Background => Some(Arc::clone(&node.background_reads).acquire_owned().await?),
        };
        let any = Arc::clone(&node.reads).acquire_owned().await?;
        Ok::<_, AcquireError>(ReadPermits { _any: any, _background: background })
    };
    timeout(READ_WAIT, permits).await.map_err(|_| busy())?.map_err(|_| busy())
}

/// The cells that the request may see: a sealed chunk that is the one its record names, or what its own
/// transaction has not sealed yet.
async fn readable(node: &Arc<Node>, segment: SegmentId, request: wire::GetChunkRequest) -> Result<Cells, Status> {
    let index = chunk_index(request.chunk_index)?;
    match request.version {
        Some(Version::Digest(digest)) => {
            let digest: [u8; 32] =
                digest.as_ref().try_into().map_err(|_| invalid(format!("a digest of {} bytes", digest.len())))?;
            Ok(node.stores.sealed_cells(segment, index, &digest).map_err(Refusal::from)?)
        }
        Some(Version::Unsealed(target)) => {
            let target = WriteTarget::try_from(Some(target))?;
            if target.target.segment != segment || target.target.chunk_index != index {
                return Err(invalid("the target is another chunk").into());
            }
            require_writer(node, &target)?;
            let node = Arc::clone(node);
            let cells = async move { node.stores.unsealed_cells(&target.target).await };
            detached(async move { Ok(cells.await.map_err(Refusal::from)?) }).await
        }
        None => Err(invalid("version is missing").into()),
    }
}
