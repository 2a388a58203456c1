use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::transport::{DirectChannel, InvalidAddress, Liveness, TcpConnector};

use super::error::KvError;
use super::service_client::Entry;
use wire::kv_client::KvClient;
use wire::maintenance_client::MaintenanceClient;

/// Generated from `bench/peers/etcd.proto`.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
mod wire {
    tonic::include_proto!("etcdserverpb");
}

/// A client of one member.
#[derive(Debug)]
pub(super) struct EtcdClient {
    keys: KvClient<DirectChannel>,
}

impl EtcdClient {
    /// The connection is made by the first request.
    pub(super) fn connect(member: &str) -> Result<Self, KvError> {
        Ok(Self { keys: KvClient::new(connection(member)?) })
    }

    pub(super) async fn put(&mut self, key: &str, value: Bytes) -> Result<u64, KvError> {
        let request = wire::PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), value };
        let answer = self.keys.put(request).await.map_err(KvError::refused("put"))?.into_inner();
        let revision = answer.header.map_or(0, |header| header.revision);
        u64::try_from(revision).map_err(|error| KvError::wrong("put", error.to_string()))
    }

    pub(super) async fn get(&mut self, key: &str) -> Result<Option<Entry>, KvError> {
        let request = wire::RangeRequest { key: Bytes::copy_from_slice(key.as_bytes()) };
        let answer = self.keys.range(request).await.map_err(KvError::refused("get"))?.into_inner();
        let Some(found) = answer.kvs.into_iter().next() else { return Ok(None) };
        let changes = u64::try_from(found.version).map_err(|error| KvError::wrong("get", error.to_string()))?;
        Ok(Some(Entry { value: found.value, changes: Some(changes) }))
    }
}

/// Whether a member leads its cluster; `None` while there is no leader, or the member does not answer yet.
pub(super) async fn leads(member: &str) -> Result<Option<bool>, KvError> {
    let mut maintenance = MaintenanceClient::new(connection(member)?);
    let Ok(answer) = maintenance.status(wire::StatusRequest {}).await else { return Ok(None) };
    let answer = answer.into_inner();
    let member = answer.header.map_or(0, |header| header.member_id);
    Ok((answer.leader != 0).then_some(answer.leader == member))
}

fn connection(member: &str) -> Result<DirectChannel, KvError> {
    DirectChannel::new(Arc::new(TcpConnector), member, Liveness::USUAL)
        .map_err(|error: InvalidAddress| KvError::Cluster { what: "connect to etcd", said: error.to_string() })
}
