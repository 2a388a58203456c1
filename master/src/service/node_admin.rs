use std::sync::Arc;
use std::time::Duration;

use cairn_proto::ids::NodeId;
use cairn_proto::wire::node_admin_server::{NodeAdmin, NodeAdminServer};
use cairn_proto::{MESSAGE_LIMIT_BYTES, Refusal, wire};
use tonic::{Request, Response, Status, async_trait};

use super::desk::Desk;
use crate::office::Office;
use crate::tenure::Tenure;

/// What an administrator asks of the masters about storage nodes.
pub struct NodeAdminService(Desk);

impl NodeAdminService {
    /// Served by whatever tenure the office has.
    pub fn new(office: Arc<Office>) -> Self {
        Self(Desk::new(office))
    }

    /// As a service for a server, with the limits of its messages set.
    pub fn into_server(self) -> NodeAdminServer<Self> {
        NodeAdminServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
    }
}

fn node(id: &[u8]) -> Result<NodeId, Refusal> {
    Ok(NodeId::from_wire(id)?)
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl NodeAdmin for NodeAdminService {
    async fn list_nodes(&self, _request: Request<wire::ListNodesRequest>) -> Answer<wire::ListNodesResponse> {
        let list = |tenure: Arc<Tenure>| async move {
            Ok(wire::ListNodesResponse { nodes: tenure.administration().list().await? })
        };
        self.0.read(list).await
    }

    async fn list_node_events(
        &self,
        request: Request<wire::ListNodeEventsRequest>,
    ) -> Answer<wire::ListNodeEventsResponse> {
        let id = node(&request.into_inner().node)?;
        let list = |tenure: Arc<Tenure>| async move {
            Ok(wire::ListNodeEventsResponse { events: tenure.nodes().events(id)? })
        };
        self.0.read(list).await
    }

    async fn plan_drain(&self, request: Request<wire::PlanDrainRequest>) -> Answer<wire::PlanDrainResponse> {
        let id = node(&request.into_inner().node)?;
        self.0.read(|tenure: Arc<Tenure>| async move { tenure.administration().tell_drain(id).await }).await
    }

    async fn set_node_intent(
        &self,
        request: Request<wire::SetNodeIntentRequest>,
    ) -> Answer<wire::SetNodeIntentResponse> {
        let request = request.into_inner();
        let (id, wanted) = (node(&request.node)?, request.intent());
        let maintenance = Duration::from_millis(request.maintenance_ms);
        let change = move |tenure: Arc<Tenure>| async move {
            let node = tenure.administration().set_intent(id, wanted, maintenance).await?;
            Ok(wire::SetNodeIntentResponse { node: Some(node) })
        };
        self.0.change(change).await
    }

    async fn plan_removal(&self, request: Request<wire::PlanRemovalRequest>) -> Answer<wire::PlanRemovalResponse> {
        let id = node(&request.into_inner().node)?;
        self.0.read(|tenure: Arc<Tenure>| async move { tenure.administration().tell_removal(id).await }).await
    }

    async fn get_rebalance(&self, _request: Request<wire::GetRebalanceRequest>) -> Answer<wire::GetRebalanceResponse> {
        self.0.read(|tenure: Arc<Tenure>| async move { Ok(tenure.rebalancing().report()?) }).await
    }

    async fn set_rebalance(&self, request: Request<wire::SetRebalanceRequest>) -> Answer<wire::SetRebalanceResponse> {
        let stopped = request.into_inner().stopped;
        let change = move |tenure: Arc<Tenure>| async move {
            tenure.rebalancing().set_stopped(stopped).await?;
            Ok(wire::SetRebalanceResponse {})
        };
        self.0.change(change).await
    }

    async fn remove_node(&self, request: Request<wire::RemoveNodeRequest>) -> Answer<wire::RemoveNodeResponse> {
        let request = request.into_inner();
        let id = node(&request.node)?;
        let change = move |tenure: Arc<Tenure>| async move {
            let cost = tenure.administration().remove(id, request.accept_loss).await?;
            let (chunks, blobs, lost_blobs) = (cost.chunks, cost.blobs, cost.lost_blobs);
            Ok(wire::RemoveNodeResponse { chunks, blobs, lost_blobs })
        };
        self.0.change(change).await
    }
}
