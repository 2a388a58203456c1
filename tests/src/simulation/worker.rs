use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cairn_fs::client::{Client, ClientError, ClientOptions};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::time::sleep;

use crate::history::{Action, History};
use crate::recording_client::RecordingClient;

/// Pause between two operations.
const THINKING_MS: std::ops::Range<u64> = 1..40;

/// A client at work.
pub(super) struct Worker {
    pub(super) id: u64,
    pub(super) options: ClientOptions,
    /// Keys to choose from.
    pub(super) keys: u64,
    pub(super) random: StdRng,
    pub(super) history: History,
    /// Not 0 once it is to end.
    pub(super) stop: Arc<AtomicU64>,
}

impl Worker {
    /// Works until told to stop.
    pub(super) async fn run(mut self) {
        let Some(client) = self.connect().await else { return };
        let client = RecordingClient::new(self.id, client, &self.history);
        let mut written = 0;
        while !self.is_stopped() {
            self.think().await;
            let key = self.random.random_range(0..self.keys).to_string();
            let token = Bytes::from(format!("<{} {written}>", self.id));
            written += 1;
            let action = match self.random.random_range(0..100) {
                0..50 => Action::Append(token),
                50..55 => Action::Put(token),
                _ => Action::Get,
            };
            if let Err(error) = client.run(&key, action).await {
                expect_given_up(&error);
            }
        }
    }

    /// `None`: told to stop before there was an elected master.
    async fn connect(&mut self) -> Option<Client> {
        while !self.is_stopped() {
            match Client::connect(self.options.clone()).await {
                Ok(client) => return Some(client),
                Err(error) => expect_given_up(&error),
            }
            self.think().await;
        }
        None
    }

    async fn think(&mut self) {
        sleep(Duration::from_millis(self.random.random_range(THINKING_MS))).await;
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) != 0
    }
}

/// Anything but the end of a client's patience is a fault of the service or of the client library.
fn expect_given_up(error: &ClientError) {
    let given_up = matches!(
        error,
        ClientError::OutcomeUnknown { .. } | ClientError::Unavailable { .. } | ClientError::Unreachable { .. }
    );
    assert!(given_up, "{error}");
}
