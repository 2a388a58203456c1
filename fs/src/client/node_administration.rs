//! The storage nodes of a cluster, and what is to become of them.

use std::time::Duration;

use cairn_proto::ids::NodeId;
use cairn_proto::transport::DirectChannel;
use cairn_proto::wire;
use cairn_proto::wire::node_admin_client::NodeAdminClient;
use tonic::{Response, Status};

use super::masters::{Call, CallKind};
use super::{Client, ClientError};

impl Client {
    /// Every node but the removed, and what lies on each.
    pub async fn nodes(&self) -> Result<Vec<wire::NodeStatus>, ClientError> {
        let answer = self.ask_about_nodes("list the nodes", CallKind::Overview, |mut admin| async move {
            admin.list_nodes(wire::ListNodesRequest {}).await
        });
        Ok(answer.await?.nodes)
    }

    /// What happened to a node, removed or not: the latest, the oldest first.
    pub async fn node_events(&self, node: NodeId) -> Result<Vec<wire::NodeEvent>, ClientError> {
        let answer =
            self.ask_about_nodes("list what happened to the node", CallKind::Overview, |mut admin| async move {
                admin.list_node_events(wire::ListNodeEventsRequest { node: node.to_wire() }).await
            });
        Ok(answer.await?.events)
    }

    /// What the draining of a node would take.
    pub async fn plan_drain(&self, node: NodeId) -> Result<wire::PlanDrainResponse, ClientError> {
        let answer = self.ask_about_nodes("plan the draining", CallKind::Overview, |mut admin| async move {
            admin.plan_drain(wire::PlanDrainRequest { node: node.to_wire() }).await
        });
        answer.await
    }

    /// Sets what a node is to be; `maintenance` says for how long where that is it.
    pub async fn set_node_intent(
        &self,
        node: NodeId,
        intent: wire::NodeState,
        maintenance: Duration,
    ) -> Result<(), ClientError> {
        let maintenance_ms = u64::try_from(maintenance.as_millis()).unwrap_or(u64::MAX);
        let request = || wire::SetNodeIntentRequest { node: node.to_wire(), intent: intent.into(), maintenance_ms };
        // Done twice, it comes to the same.
        let answer = self.ask_about_nodes("change the node", CallKind::Repeatable, |mut admin| {
            let request = request();
            async move { admin.set_node_intent(request).await }
        });
        answer.await.map(drop)
    }

    /// What the removal of a node would cost.
    pub async fn plan_removal(&self, node: NodeId) -> Result<wire::PlanRemovalResponse, ClientError> {
        let answer = self.ask_about_nodes("plan the removal", CallKind::Overview, |mut admin| async move {
            admin.plan_removal(wire::PlanRemovalRequest { node: node.to_wire() }).await
        });
        answer.await
    }

    /// Removes a node for ever. With `accept_loss`, the chunks of a dead one are given up.
    pub async fn remove_node(&self, node: NodeId, accept_loss: bool) -> Result<wire::RemoveNodeResponse, ClientError> {
        let answer = self.ask_about_nodes("remove the node", CallKind::Repeatable, |mut admin| async move {
            admin.remove_node(wire::RemoveNodeRequest { node: node.to_wire(), accept_loss }).await
        });
        answer.await
    }

    /// How chunks move from fuller nodes to emptier ones.
    pub async fn rebalance(&self) -> Result<wire::GetRebalanceResponse, ClientError> {
        let answer =
            self.ask_about_nodes("get the state of the rebalancing", CallKind::Overview, |mut admin| async move {
                admin.get_rebalance(wire::GetRebalanceRequest {}).await
            });
        answer.await
    }

    /// Stops that, or lets it go on.
    pub async fn set_rebalance(&self, stopped: bool) -> Result<(), ClientError> {
        let answer = self.ask_about_nodes("change the rebalancing", CallKind::Repeatable, |mut admin| async move {
            admin.set_rebalance(wire::SetRebalanceRequest { stopped }).await
        });
        answer.await.map(drop)
    }

    async fn ask_about_nodes<T, F, R>(&self, what: &'static str, kind: CallKind, request: F) -> Result<T, ClientError>
    where
        F: Fn(NodeAdminClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let call = Call { what, deadline: self.connection.deadline(), kind };
        let masters = &self.connection.masters;
        let answer = masters.call_on(call, |channel| request(NodeAdminClient::new(channel))).await;
        answer.map_err(|error| error.into_client_error(what))
    }
}
