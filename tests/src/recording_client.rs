//! A client of the key-value service that takes down all it asks and is told.

use bytes::Bytes;
use cairn_fs::client::{Client, ClientError};
use cairn_proto::records::Key;

use crate::history::{Action, History};

/// The client library with a history.
#[derive(Debug)]
pub struct RecordingClient {
    id: u64,
    client: Client,
    history: History,
}

impl RecordingClient {
    /// A client that nobody else shares the id with.
    pub fn new(id: u64, client: Client, history: &History) -> Self {
        Self { id, client, history: history.clone() }
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The value of a key; empty if it was never written. Fails the test without an answer.
    pub async fn get(&self, key: &str) -> String {
        let value = self.answered(key, Action::Get).await;
        String::from_utf8(value.to_vec()).expect("clients write text")
    }

    /// Replaces the value of a key. Fails the test without an answer.
    pub async fn put(&self, key: &str, value: impl Into<String>) {
        self.answered(key, Action::Put(value.into().into())).await;
    }

    /// Adds to the value of a key. Fails the test without an answer.
    pub async fn append(&self, key: &str, suffix: impl Into<String>) {
        self.answered(key, Action::Append(suffix.into().into())).await;
    }

    async fn answered(&self, key: &str, action: Action) -> Bytes {
        let answer = self.run(key, action.clone()).await;
        answer.unwrap_or_else(|error| panic!("client {}, {key:?}: {action:?}: {error}", self.id))
    }

    /// One operation. What the client library gives up on is taken down as what the library says of it: not done, or
    /// of unknown outcome.
    pub async fn run(&self, key: &str, action: Action) -> Result<Bytes, ClientError> {
        let name = Key::try_from(key.to_owned()).expect("a valid key");
        let ticket = self.history.invoke(self.id, key, action.clone());
        let answer = match action {
            Action::Get => self.client.get_value(&name).await.map(Option::unwrap_or_default),
            Action::Put(value) => self.client.put_value(&name, value).await.map(|()| Bytes::new()),
            Action::Append(suffix) => self.client.append_value(&name, suffix).await.map(|()| Bytes::new()),
        };
        match &answer {
            Ok(value) => self.history.answered(ticket, value.clone()),
            Err(ClientError::OutcomeUnknown { .. }) => {}
            Err(_) => self.history.refused(ticket),
        }
        answer
    }
}
