//! What nodes say they keep, to whoever asks as their master does.

use std::collections::BTreeMap;

use cairn_fs::client::Client;
use cairn_proto::wire;
use cairn_proto::wire::node_control_client::NodeControlClient;
use tonic::transport::Channel;

/// What each node says of itself, by name; `None` while one does not answer.
pub async fn node_stats(client: &Client) -> Option<BTreeMap<String, wire::GetStatsResponse>> {
    let (cluster, leader) = (client.status().await.ok()?, client.leader().await.ok()?.lease?);
    let mut stats = BTreeMap::new();
    for node in cluster.nodes {
        let order = wire::Order {
            cluster: cluster.cluster.clone(),
            cluster_epoch: 1,
            lease_epoch: leader.epoch,
            incarnation: node.incarnation,
            record_version: 0,
        };
        let channel = Channel::from_shared(format!("http://{}", node.address)).ok()?.connect().await.ok()?;
        let request = wire::GetStatsRequest { order: Some(order), known_version: 0 };
        stats.insert(node.name, NodeControlClient::new(channel).get_stats(request).await.ok()?.into_inner());
    }
    Some(stats)
}
