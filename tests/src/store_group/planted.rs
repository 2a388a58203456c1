use std::sync::Arc;

use cairn_master::keys;
use cairn_master::store::{Command, ReplicatedStore, Standing, Store};
use cairn_proto::records::Key;
use cairn_proto::wire::key_value_server::KeyValue;
use cairn_proto::{Refusal, wire};
use tokio::time::Instant;
use tonic::{Request, Response, Status, async_trait};

/// A key-value service that does everything wrong: gets are answered from what this master has applied, whoever is
/// elected, and writes are applied as often as they arrive.
pub(super) struct PlantedValues {
    store: Arc<ReplicatedStore>,
}

type Answer<T> = Result<Response<T>, Status>;

impl PlantedValues {
    pub(super) fn new(store: Arc<ReplicatedStore>) -> Self {
        Self { store }
    }

    async fn commit(&self, command: Command) -> Result<u64, Refusal> {
        let standing = self.store.standing().borrow().clone();
        let Some(epoch) = standing.epoch_at(Instant::now()) else {
            let elected = match standing {
                Standing::Following { elected } => elected.unwrap_or_default(),
                Standing::Elected { .. } => String::new(),
            };
            return Err(Refusal::NotElected { elected });
        };
        let committed = self.store.commit(epoch, command).await;
        committed.map(|committed| committed.index).map_err(|error| Refusal::NotReady { why: error.to_string() })
    }
}

fn checked(key: String) -> Result<Key, Refusal> {
    Key::try_from(key).map_err(|error| Refusal::InvalidKey { why: error.to_string() })
}

#[async_trait]
impl KeyValue for PlantedValues {
    async fn get(&self, request: Request<wire::GetValueRequest>) -> Answer<wire::GetValueResponse> {
        let key = checked(request.into_inner().key)?;
        let unreadable = |error: cairn_master::store::ReadError| Status::internal(error.to_string());
        let view = self.store.view().map_err(unreadable)?;
        let value = view.get(&keys::value(&key)).map_err(unreadable)?.map(|found| found.value);
        Ok(Response::new(wire::GetValueResponse { value, applied_index: view.applied_index() }))
    }

    async fn put(&self, request: Request<wire::PutValueRequest>) -> Answer<wire::PutValueResponse> {
        let request = request.into_inner();
        let mut command = Command::new();
        command.put(keys::value(&checked(request.key)?), request.value);
        Ok(Response::new(wire::PutValueResponse { applied_index: self.commit(command).await? }))
    }

    async fn append(&self, request: Request<wire::AppendValueRequest>) -> Answer<wire::AppendValueResponse> {
        let request = request.into_inner();
        let mut command = Command::new();
        command.append(keys::value(&checked(request.key)?), request.suffix);
        Ok(Response::new(wire::AppendValueResponse { applied_index: self.commit(command).await? }))
    }
}
