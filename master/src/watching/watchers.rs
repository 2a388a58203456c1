use std::sync::Arc;

use cairn_proto::Refusal;
use tokio::sync::Semaphore;

use super::{WatchRequest, Watcher};
use crate::clock::Clock;
use crate::ledger::Ledger;

/// Watchers that a master serves at a time.
const WATCHERS_LIMIT: usize = 1024;

/// Lets watchers in.
pub struct Watchers {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    places: Arc<Semaphore>,
}

impl Watchers {
    /// For the state of one election.
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, clock, places: Arc::new(Semaphore::new(WATCHERS_LIMIT)) }
    }

    /// A watcher, which has its place until it is dropped.
    pub fn admit(&self, request: WatchRequest) -> Result<Watcher, Refusal> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Refusal::TooManyWatchers { limit: WATCHERS_LIMIT.to_string() })?;
        Ok(Watcher::new(self.ledger.clone(), Arc::clone(&self.clock), request, place))
    }
}
