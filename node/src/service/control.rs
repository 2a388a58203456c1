use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::{Refusal, wire};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use wire::node_control_server::NodeControl;

use super::chunks::sealed_chunk;
use super::detached;
use super::request::{invalid, segments};
use crate::node::Node;
use crate::rebuild::{Rebuild, RebuildError, RebuildProgress};
use crate::store::{ListedChunk, Tally};

/// How often whoever ordered a chunk to be rebuilt hears how far it is.
const REPORT_INTERVAL: Duration = Duration::from_millis(500);
/// Chunks that one page of an inventory may have, and has where the request names no number.
const PAGE_CHUNKS: u32 = 8_192;

/// Orders of the elected master.
pub(crate) struct ControlService {
    node: Arc<Node>,
}

impl ControlService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl NodeControl for ControlService {
    async fn get_stats(
        &self,
        request: Request<wire::GetStatsRequest>,
    ) -> Result<Response<wire::GetStatsResponse>, Status> {
        let node = &self.node;
        let request = request.into_inner();
        node.answer(request.order).await?;
        let full = wire::GetStatsResponse {
            node: Some(node.info().map_err(Refusal::from)?),
            sealed_chunks: node.stores.sealed_chunks(),
            open_segments: node.stores.open_segments() as u64,
            scrub: Some(node.scrubs.status()),
            damaged: node.scrubs.damaged(),
            refusing_writes: node.fatal.cause().or_else(|| node.stores.refuses_writes()).unwrap_or_default(),
            ..wire::GetStatsResponse::default()
        };
        Ok(Response::new(node.stats_versions.answer(request.known_version, full)))
    }

    async fn create_blob(
        &self,
        request: Request<wire::CreateBlobRequest>,
    ) -> Result<Response<wire::CreateBlobResponse>, Status> {
        let request = request.into_inner();
        let session = session(request.session)?;
        self.node.obey(request.order).await?;
        self.node.admission.admit(session)?;
        Ok(Response::new(wire::CreateBlobResponse { boot: self.node.admission.boot().to_wire() }))
    }

    async fn revoke_session(
        &self,
        request: Request<wire::RevokeSessionRequest>,
    ) -> Result<Response<wire::RevokeSessionResponse>, Status> {
        let request = request.into_inner();
        let session = session(request.session)?;
        self.node.obey(request.order).await?;
        self.node.admission.end(session);
        let node = Arc::clone(&self.node);
        detached(async move { Ok(node.stores.drop_session(session).await.map_err(Refusal::from)?) }).await?;
        Ok(Response::new(wire::RevokeSessionResponse {}))
    }

    async fn delete_blob(
        &self,
        request: Request<wire::DeleteBlobRequest>,
    ) -> Result<Response<wire::DeleteBlobResponse>, Status> {
        let request = request.into_inner();
        let segments = segments(&request.segments)?;
        let deleted_at = request.order.as_ref().map_or(0, |order| order.record_version);
        self.node.obey(request.order).await?;
        let node = Arc::clone(&self.node);
        detached(async move { Ok(node.stores.delete(&segments, deleted_at).await.map_err(Refusal::from)?) }).await?;
        Ok(Response::new(wire::DeleteBlobResponse {}))
    }

    type RebuildChunkStream = ReceiverStream<Result<wire::RebuildChunkResponse, Status>>;

    async fn rebuild_chunk(
        &self,
        request: Request<wire::RebuildChunkRequest>,
    ) -> Result<Response<Self::RebuildChunkStream>, Status> {
        let request = request.into_inner();
        self.node.obey(request.order.clone()).await?;
        let in_place = request.in_place;
        let rebuild = Rebuild::ordered(request, &self.node.peers)?;
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(report(Arc::clone(&self.node), rebuild, in_place, answers));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn start_scrub(
        &self,
        request: Request<wire::StartScrubRequest>,
    ) -> Result<Response<wire::StartScrubResponse>, Status> {
        let request = request.into_inner();
        self.node.obey(request.order).await?;
        self.node.scrubs.order(request.bytes_per_second);
        Ok(Response::new(wire::StartScrubResponse {}))
    }

    async fn list_blobs(
        &self,
        request: Request<wire::ListBlobsRequest>,
    ) -> Result<Response<wire::ListBlobsResponse>, Status> {
        let request = request.into_inner();
        let start_after = SegmentId::from_wire_opt(&request.start_after).map_err(Refusal::from)?;
        self.node.obey(request.order).await?;
        let session = (request.session != 0).then_some(SessionId(request.session));
        let limit = if request.limit == 0 { PAGE_CHUNKS } else { request.limit.min(PAGE_CHUNKS) };
        let stores = Arc::clone(&self.node.stores);
        let page = tokio::task::spawn_blocking(move || stores.list(session, start_after, limit as usize)).await;
        let page = page.map_err(|error| Status::internal(error.to_string()))?.map_err(Refusal::from)?;
        let chunks = page.chunks.iter().map(listed).collect();
        Ok(Response::new(wire::ListBlobsResponse { chunks, more: page.more }))
    }
}

fn session(session: u64) -> Result<SessionId, Refusal> {
    if session == 0 { Err(invalid("session 0 is none")) } else { Ok(SessionId(session)) }
}

fn listed(chunk: &ListedChunk) -> wire::ListedChunk {
    wire::ListedChunk {
        segment: chunk.segment.to_wire(),
        transaction: Some(chunk.transaction.into()),
        chunk_index: u32::from(chunk.chunk_index),
        cells: chunk.tally.cells,
        length_bytes: chunk.tally.length_bytes,
        digest: bytes::Bytes::copy_from_slice(chunk.tally.digest.as_bytes()),
    }
}

/// Rebuilds a chunk, and tells how far it is until nobody listens any more. The work itself is never dropped half way:
/// it looks whether somebody waits, and ends by itself.
async fn report(
    node: Arc<Node>,
    rebuild: Rebuild,
    in_place: bool,
    answers: mpsc::Sender<Result<wire::RebuildChunkResponse, Status>>,
) {
    let (sender, receiver) = watch::channel(RebuildProgress::default());
    let mut work = tokio::spawn(carry_out(Arc::clone(&node), rebuild, in_place, sender));
    let message = |chunk| {
        let RebuildProgress { cells, read_bytes } = *receiver.borrow();
        wire::RebuildChunkResponse { cells, read_bytes, chunk }
    };
    let outcome = loop {
        tokio::select! {
            outcome = &mut work => break outcome,
            () = sleep(REPORT_INTERVAL) => {
                if answers.send(Ok(message(None))).await.is_err() {
                    return;
                }
            }
        }
    };
    let answer = match outcome {
        Ok(Ok(tally)) => Ok(message(Some(sealed_chunk(&node, &tally)))),
        Ok(Err(error)) => Err(Refusal::from(error).into()),
        Err(error) => Err(Status::internal(format!("the rebuilding was cut off: {error}"))),
    };
    // Without a listener the next order finds the chunk as it is.
    let _ = answers.send(answer).await;
}

async fn carry_out(
    node: Arc<Node>,
    rebuild: Rebuild,
    in_place: bool,
    progress: watch::Sender<RebuildProgress>,
) -> Result<Tally, RebuildError> {
    // A wait that nobody listens to any more ends soon after its turn has come.
    let _permit = node.rebuilds.acquire().await.map_err(|_| RebuildError::Abandoned)?;
    if !in_place {
        return rebuild.run(Arc::clone(&node.stores), &node.background, progress).await;
    }
    let segment = rebuild.segment;
    let mended = rebuild.mend(Arc::clone(&node.stores), &node.background, progress).await;
    if mended.is_ok() {
        node.scrubs.repaired(segment);
    }
    mended
}
