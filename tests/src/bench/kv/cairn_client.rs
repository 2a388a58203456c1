use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::transport::{DirectChannel, Liveness, TcpConnector};
use cairn_proto::wire;
use cairn_proto::wire::key_value_client::KeyValueClient;
use cairn_proto::wire::metadata_client::MetadataClient;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::error::KvError;
use super::service_client::Entry;

/// A registered client of the elected master, kept alive by heartbeats.
#[derive(Debug)]
pub(super) struct CairnClient {
    values: KeyValueClient<DirectChannel>,
    session: u64,
    sequence: u64,
    heartbeats: AbortHandle,
}

impl CairnClient {
    /// Registers with the elected master. Needs a runtime of tokio.
    pub(super) async fn connect(elected: &str) -> Result<Self, KvError> {
        let connection = DirectChannel::new(Arc::new(TcpConnector), elected, Liveness::USUAL)
            .map_err(|error| KvError::Cluster { what: "connect to the elected master", said: error.to_string() })?;
        let mut metadata = MetadataClient::new(connection.clone());
        let request = wire::OpenSessionRequest { host: String::new(), purpose: "benchmark".to_owned() };
        let answer = metadata.open_session(request).await.map_err(KvError::refused("register"))?.into_inner();
        let interval = Duration::from_millis(answer.heartbeat_interval_ms);
        let heartbeats = tokio::spawn(keep_alive(metadata, answer.session, interval)).abort_handle();
        Ok(Self { values: KeyValueClient::new(connection), session: answer.session, sequence: 0, heartbeats })
    }

    pub(super) async fn put(&mut self, key: &str, value: Bytes) -> Result<u64, KvError> {
        let request = wire::PutValueRequest { request: Some(self.next()), key: key.to_owned(), value };
        let answer = self.values.put(request).await.map_err(KvError::refused("put"))?;
        Ok(answer.into_inner().applied_index)
    }

    pub(super) async fn append(&mut self, key: &str, suffix: Bytes) -> Result<u64, KvError> {
        let request = wire::AppendValueRequest { request: Some(self.next()), key: key.to_owned(), suffix };
        let answer = self.values.append(request).await.map_err(KvError::refused("append"))?;
        Ok(answer.into_inner().applied_index)
    }

    pub(super) async fn get(&mut self, key: &str) -> Result<Option<Entry>, KvError> {
        let request = wire::GetValueRequest { key: key.to_owned() };
        let answer = self.values.get(request).await.map_err(KvError::refused("get"))?;
        Ok(answer.into_inner().value.map(|value| Entry { value, changes: None }))
    }

    /// With one request at a time, all before it are answered.
    fn next(&mut self) -> wire::RequestId {
        self.sequence += 1;
        wire::RequestId { client: self.session, sequence: self.sequence, lowest_unanswered: self.sequence }
    }
}

impl Drop for CairnClient {
    fn drop(&mut self) {
        self.heartbeats.abort();
    }
}

/// Until it is aborted. A heartbeat that fails is made up for by the next; if all do, the session expires, and the
/// requests say so.
async fn keep_alive(mut metadata: MetadataClient<DirectChannel>, session: u64, period: Duration) {
    let mut beats = interval(period);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        let request = wire::HeartbeatRequest { session, ..wire::HeartbeatRequest::default() };
        if let Err(status) = metadata.heartbeat(request).await {
            tracing::warn!(session, %status, "a heartbeat failed");
        }
    }
}
