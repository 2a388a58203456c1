use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{BootId, SegmentId, SessionId};
use cairn_proto::transport::{Connector, Liveness, channel};
use cairn_proto::wire::node_control_client::NodeControlClient;
use cairn_proto::{MESSAGE_LIMIT_BYTES, WireRefusal, wire};
use parking_lot::Mutex;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, async_trait};

use super::NodeClient;

/// Addresses whose connections are kept; with more, all are dropped and made anew.
const CONNECTIONS_LIMIT: usize = 4096;

/// A node that rebuilds a chunk tells how far it is more often than this.
const REBUILD_SILENCE: Duration = Duration::from_secs(10);

/// Calls over gRPC, one connection for each node.
#[derive(Debug)]
pub struct GrpcNodeClient {
    connector: Arc<dyn Connector>,
    connections: Mutex<HashMap<String, NodeControlClient<Channel>>>,
}

impl GrpcNodeClient {
    /// Nothing is connected before the first call.
    pub fn new(connector: Arc<dyn Connector>) -> Self {
        Self { connector, connections: Mutex::default() }
    }

    fn at(&self, address: &str) -> Result<NodeControlClient<Channel>, Status> {
        let mut connections = self.connections.lock();
        if let Some(client) = connections.get(address) {
            return Ok(client.clone());
        }
        if connections.len() >= CONNECTIONS_LIMIT {
            connections.clear();
        }
        let channel = channel(&*self.connector, address, Liveness::USUAL)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let client = NodeControlClient::new(channel)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES);
        connections.insert(address.to_owned(), client.clone());
        Ok(client)
    }
}

#[async_trait]
impl NodeClient for GrpcNodeClient {
    async fn get_stats(
        &self,
        address: &str,
        order: wire::Order,
        known_version: u64,
    ) -> Result<wire::GetStatsResponse, WireRefusal> {
        let request = wire::GetStatsRequest { order: Some(order), known_version };
        Ok(self.at(address)?.get_stats(request).await?.into_inner())
    }

    async fn admit(&self, address: &str, order: wire::Order, session: SessionId) -> Result<BootId, WireRefusal> {
        let request = wire::CreateBlobRequest { order: Some(order), session: session.0 };
        let response = self.at(address)?.create_blob(request).await?.into_inner();
        Ok(BootId::from_wire(&response.boot).map_err(|error| Status::internal(error.to_string()))?)
    }

    async fn revoke(&self, address: &str, order: wire::Order, session: SessionId) -> Result<(), WireRefusal> {
        let request = wire::RevokeSessionRequest { order: Some(order), session: session.0 };
        self.at(address)?.revoke_session(request).await?;
        Ok(())
    }

    async fn delete(&self, address: &str, order: wire::Order, segments: &[SegmentId]) -> Result<(), WireRefusal> {
        let segments = segments.iter().map(|segment| segment.to_wire()).collect();
        self.at(address)?.delete_blob(wire::DeleteBlobRequest { order: Some(order), segments }).await?;
        Ok(())
    }

    async fn list(
        &self,
        address: &str,
        order: wire::Order,
        session: SessionId,
        start_after: Option<SegmentId>,
        limit: u32,
    ) -> Result<wire::ListBlobsResponse, WireRefusal> {
        let request = wire::ListBlobsRequest {
            order: Some(order),
            session: session.0,
            start_after: start_after.map(SegmentId::to_wire).unwrap_or_default(),
            limit,
        };
        Ok(self.at(address)?.list_blobs(request).await?.into_inner())
    }

    async fn start_scrub(&self, address: &str, order: wire::Order, bytes_per_second: u64) -> Result<(), WireRefusal> {
        let request = wire::StartScrubRequest { order: Some(order), bytes_per_second };
        self.at(address)?.start_scrub(request).await?;
        Ok(())
    }

    async fn rebuild(
        &self,
        address: &str,
        request: wire::RebuildChunkRequest,
        progress: &(dyn Fn(wire::RebuildChunkResponse) + Send + Sync),
    ) -> Result<wire::Chunk, WireRefusal> {
        let silent = |_| Status::deadline_exceeded(format!("silent for {} s", REBUILD_SILENCE.as_secs()));
        let mut client = self.at(address)?;
        let mut answers = timeout(REBUILD_SILENCE, client.rebuild_chunk(request)).await.map_err(silent)??.into_inner();
        while let Some(answer) = timeout(REBUILD_SILENCE, answers.message()).await.map_err(silent)?? {
            let made = answer.chunk.clone();
            progress(answer);
            if let Some(chunk) = made {
                return Ok(chunk);
            }
        }
        Err(Status::internal("the answer ended before the chunk was there").into())
    }
}
