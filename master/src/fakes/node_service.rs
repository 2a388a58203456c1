use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::wire::node_control_server::{NodeControl, NodeControlServer};
use cairn_proto::{WireRefusal, wire};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, async_trait};

use super::FakeNodes;
use crate::nodes::NodeClient;

/// A storage node of a test, over gRPC.
pub(crate) struct FakeNodeService {
    nodes: FakeNodes,
    address: String,
}

impl FakeNodeService {
    /// Serves a new node on a free port; answers how it joins.
    pub(crate) async fn start(nodes: &FakeNodes, number: u8) -> wire::NodeInfo {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let info = nodes.add_at(number, &address);
        let service = NodeControlServer::new(Self { nodes: nodes.clone(), address });
        let server = Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        info
    }
}

fn status(error: WireRefusal) -> Status {
    match error {
        WireRefusal::Refused(refusal) => refusal.into(),
        WireRefusal::Transport(status) => *status,
    }
}

fn order(order: Option<wire::Order>) -> Result<wire::Order, Status> {
    order.ok_or_else(|| Status::invalid_argument("order is missing"))
}

#[async_trait]
impl NodeControl for FakeNodeService {
    async fn get_stats(
        &self,
        request: Request<wire::GetStatsRequest>,
    ) -> Result<Response<wire::GetStatsResponse>, Status> {
        let wire::GetStatsRequest { order: given, known_version } = request.into_inner();
        let answer = self.nodes.get_stats(&self.address, order(given)?, known_version).await;
        answer.map(Response::new).map_err(status)
    }

    async fn create_blob(
        &self,
        request: Request<wire::CreateBlobRequest>,
    ) -> Result<Response<wire::CreateBlobResponse>, Status> {
        let request = request.into_inner();
        let session = SessionId(request.session);
        let boot = self.nodes.admit(&self.address, order(request.order)?, session).await.map_err(status)?;
        Ok(Response::new(wire::CreateBlobResponse { boot: boot.to_wire() }))
    }

    async fn revoke_session(
        &self,
        request: Request<wire::RevokeSessionRequest>,
    ) -> Result<Response<wire::RevokeSessionResponse>, Status> {
        let request = request.into_inner();
        let session = SessionId(request.session);
        self.nodes.revoke(&self.address, order(request.order)?, session).await.map_err(status)?;
        Ok(Response::new(wire::RevokeSessionResponse {}))
    }

    async fn delete_blob(
        &self,
        request: Request<wire::DeleteBlobRequest>,
    ) -> Result<Response<wire::DeleteBlobResponse>, Status> {
        let request = request.into_inner();
        let segments: Vec<SegmentId> =
            request.segments.iter().map(|segment| SegmentId::from_wire(segment).unwrap()).collect();
        self.nodes.delete(&self.address, order(request.order)?, &segments).await.map_err(status)?;
        Ok(Response::new(wire::DeleteBlobResponse {}))
    }

    async fn list_blobs(
        &self,
        request: Request<wire::ListBlobsRequest>,
    ) -> Result<Response<wire::ListBlobsResponse>, Status> {
        let request = request.into_inner();
        let after = SegmentId::from_wire_opt(&request.start_after).unwrap();
        let (session, limit) = (SessionId(request.session), request.limit);
        let listed = self.nodes.list(&self.address, order(request.order)?, session, after, limit).await;
        listed.map(Response::new).map_err(status)
    }

    async fn start_scrub(
        &self,
        request: Request<wire::StartScrubRequest>,
    ) -> Result<Response<wire::StartScrubResponse>, Status> {
        let wire::StartScrubRequest { order: given, bytes_per_second } = request.into_inner();
        self.nodes.start_scrub(&self.address, order(given)?, bytes_per_second).await.map_err(status)?;
        Ok(Response::new(wire::StartScrubResponse {}))
    }

    type RebuildChunkStream = tokio_stream::Once<Result<wire::RebuildChunkResponse, Status>>;

    async fn rebuild_chunk(
        &self,
        request: Request<wire::RebuildChunkRequest>,
    ) -> Result<Response<Self::RebuildChunkStream>, Status> {
        let chunk = self.nodes.rebuild(&self.address, request.into_inner(), &|_| {}).await.map_err(status)?;
        let answer = wire::RebuildChunkResponse { chunk: Some(chunk), ..wire::RebuildChunkResponse::default() };
        Ok(Response::new(tokio_stream::once(Ok(answer))))
    }
}
