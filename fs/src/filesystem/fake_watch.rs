use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::blob_store::StoreWatch;
use crate::client::{ClientError, WatchEvent};

/// What a watch has still to tell in a test, at most.
const EVENTS_LIMIT: usize = 64;

/// A watch that tells what a test says.
pub(crate) struct FakeWatch(Receiver<Result<WatchEvent, ClientError>>);

/// The watches of a store, and what was changed through it.
#[derive(Default)]
pub(super) struct FakeWatches {
    watches: Vec<Sender<Result<WatchEvent, ClientError>>>,
    pub(super) own_changes: Vec<u64>,
}

impl FakeWatches {
    pub(super) fn watch(&mut self) -> FakeWatch {
        let (events, told) = channel(EVENTS_LIMIT);
        self.watches.push(events);
        FakeWatch(told)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    pub(super) fn tell(&self, event: &Result<WatchEvent, ClientError>) {
        for watch in &self.watches {
            watch.try_send(event.clone()).expect("somebody watches, and keeps up");
        }
    }
}

impl StoreWatch for FakeWatch {
    async fn next(&mut self) -> Result<WatchEvent, ClientError> {
        match self.0.recv().await {
            Some(event) => event,
            None => std::future::pending().await,
        }
    }
}
