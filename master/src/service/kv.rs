use std::sync::Arc;

use cairn_proto::wire::key_value_server::{KeyValue, KeyValueServer};
use cairn_proto::{MESSAGE_LIMIT_BYTES, wire};
use tonic::{Request, Response, Status, async_trait};

use super::desk::Desk;
use crate::office::Office;

/// The public key-value service.
pub struct KeyValueService {
    desk: Desk,
}

impl KeyValueService {
    /// Served by whatever tenure the office has.
    pub fn new(office: Arc<Office>) -> Self {
        Self { desk: Desk::new(office) }
    }

    /// As a service for a server, with the limits of its messages set.
    pub fn into_server(self) -> KeyValueServer<Self> {
        KeyValueServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl KeyValue for KeyValueService {
    async fn get(&self, request: Request<wire::GetValueRequest>) -> Answer<wire::GetValueResponse> {
        self.desk.read(|tenure| async move { tenure.values().get(request.into_inner()).await }).await
    }

    async fn put(&self, request: Request<wire::PutValueRequest>) -> Answer<wire::PutValueResponse> {
        self.desk.change(|tenure| async move { tenure.values().put(request.into_inner()).await }).await
    }

    async fn append(&self, request: Request<wire::AppendValueRequest>) -> Answer<wire::AppendValueResponse> {
        self.desk.change(|tenure| async move { tenure.values().append(request.into_inner()).await }).await
    }
}
