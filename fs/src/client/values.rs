//! The public key-value service.

use bytes::Bytes;
use cairn_proto::MESSAGE_LIMIT_BYTES;
use cairn_proto::records::Key;
use cairn_proto::transport::DirectChannel;
use cairn_proto::wire;
use cairn_proto::wire::key_value_client::KeyValueClient;

use super::masters::{Call, CallKind};
use super::{Client, ClientError};

impl Client {
    /// The value of `key` in the key-value service at some moment between call and return; `None` if it has none.
    pub async fn get_value(&self, key: &Key) -> Result<Option<Bytes>, ClientError> {
        const WHAT: &str = "get the value";
        let request = wire::GetValueRequest { key: key.as_str().to_owned() };
        let call = Call { what: WHAT, deadline: self.connection.deadline(), kind: CallKind::Repeatable };
        let answer = self.connection.masters.call_on(call, |channel| {
            let request = request.clone();
            async move { values(channel).get(request).await }
        });
        Ok(answer.await.map_err(|error| error.into_client_error(WHAT))?.value)
    }

    /// Sets the value of `key` in the key-value service, exactly once. When this returns, a majority of masters has it
    /// on stable storage. At most 64 changes of a client are under way at a time; further ones wait.
    pub async fn put_value(&self, key: &Key, value: Bytes) -> Result<(), ClientError> {
        let request = wire::PutValueRequest { request: None, key: key.as_str().to_owned(), value };
        let answer = self.connection.mutate_on("put the value", |channel, id| {
            let request = wire::PutValueRequest { request: Some(id), ..request.clone() };
            async move { values(channel).put(request).await }
        });
        answer.await.map(drop)
    }

    /// Adds to the end of the value of `key` in the key-value service, exactly once; a key without a value starts
    /// empty. Durable as [`Self::put_value`].
    pub async fn append_value(&self, key: &Key, suffix: Bytes) -> Result<(), ClientError> {
        let request = wire::AppendValueRequest { request: None, key: key.as_str().to_owned(), suffix };
        let answer = self.connection.mutate_on("append to the value", |channel, id| {
            let request = wire::AppendValueRequest { request: Some(id), ..request.clone() };
            async move { values(channel).append(request).await }
        });
        answer.await.map(drop)
    }
}

fn values(channel: DirectChannel) -> KeyValueClient<DirectChannel> {
    KeyValueClient::new(channel)
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
}
