use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::{BootId, ClusterId, NodeId};
use cairn_proto::wire::registry_server::{Registry, RegistryServer};
use cairn_proto::{MESSAGE_LIMIT_BYTES, Refusal, wire};
use tonic::{Request, Response, Status, async_trait};

use super::desk::Desk;
use crate::office::Office;

/// What storage nodes ask of the masters.
pub struct RegistryService(Desk);

impl RegistryService {
    /// Served by whatever tenure the office has.
    pub fn new(office: Arc<Office>) -> Self {
        Self(Desk::new(office))
    }

    /// As a service for a server, with the limits of its messages set.
    pub fn into_server(self) -> RegistryServer<Self> {
        RegistryServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
    }
}

#[async_trait]
impl Registry for RegistryService {
    async fn join(&self, request: Request<wire::JoinRequest>) -> Result<Response<wire::JoinResponse>, Status> {
        let request = request.into_inner();
        let cluster = ClusterId::from_wire_opt(&request.cluster).map_err(Refusal::from)?;
        let missing = || Refusal::InvalidRequest { why: "node is missing".to_owned() };
        let node = request.node.ok_or_else(missing)?;
        let change = |tenure: Arc<crate::tenure::Tenure>| async move {
            let cluster = tenure.nodes().join(cluster, node).await?;
            Ok(wire::JoinResponse { cluster: cluster.to_wire() })
        };
        self.0.change(change).await
    }

    async fn leave(&self, request: Request<wire::LeaveRequest>) -> Result<Response<wire::LeaveResponse>, Status> {
        let request = request.into_inner();
        let node = NodeId::from_wire(&request.node).map_err(Refusal::from)?;
        let boot = BootId::from_wire(&request.boot).map_err(Refusal::from)?;
        let maintenance = (request.maintenance_ms > 0).then(|| Duration::from_millis(request.maintenance_ms));
        let change = move |tenure: Arc<crate::tenure::Tenure>| async move {
            tenure.nodes().leave(node, boot, maintenance).await?;
            Ok(wire::LeaveResponse {})
        };
        self.0.change(change).await
    }

    async fn locate(&self, request: Request<wire::LocateRequest>) -> Result<Response<wire::LocateResponse>, Status> {
        let node = NodeId::from_wire(&request.into_inner().node).map_err(Refusal::from)?;
        let read = |tenure: Arc<crate::tenure::Tenure>| async move {
            let unknown = || Refusal::InvalidRequest { why: format!("node {node} is not registered") };
            let found = tenure.nodes().info(node).ok_or_else(unknown)?;
            Ok(wire::LocateResponse { node: Some(found) })
        };
        self.0.read(read).await
    }
}
