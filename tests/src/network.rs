//! A network inside one process, on which requests are delayed, lost and cut off at will.
//!
//! Daemons serve on it, and reach one another over it, exactly as over TCP: the same services, the same HTTP/2, on
//! streams in memory. What goes wrong goes wrong for whole requests, by calls of their own or by a stream: one may be lost before it is executed, its answer
//! may be lost after that, and between two places either direction may be cut. Which of it happens to which request is
//! drawn from a seed.

mod caller;
mod connector;
mod delivery;
mod exchange;
mod links;
mod rates;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::transport;
use parking_lot::Mutex;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use caller::CallerStream;
pub use connector::NetworkConnector;
use delivery::Delivery;
pub use delivery::Services;
pub use links::Place;
use links::{Fate, Links};
pub use rates::Rates;

/// Connections that wait to be accepted.
const BACKLOG: usize = 128;
/// Bytes under way in one direction of a connection.
const STREAM_BYTES: usize = 1 << 20;
/// Requests that one connection may have under way.
const STREAMS_LIMIT: u32 = 1024;

/// The network. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Network {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    random: StdRng,
    links: Links,
    servers: HashMap<String, mpsc::Sender<CallerStream>>,
    troubles: Troubles,
}

/// What has happened to requests so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Requests that were executed and answered.
    pub passed: u64,
    /// Requests lost before they were executed.
    pub requests_lost: u64,
    /// Answers lost after the request was executed.
    pub answers_lost: u64,
    /// Requests and answers that met a cut link.
    pub cut_off: u64,
    /// Connections refused because nobody served there.
    pub refused: u64,
}

impl Network {
    /// A network without any trouble; what happens on it is drawn from `seed`.
    pub fn new(seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let shared = Shared { random, links: Links::default(), servers: HashMap::new(), troubles: Troubles::default() };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// How requests are delayed and lost from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.shared.lock().links.rates = rates;
    }

    /// What has happened so far.
    pub fn troubles(&self) -> Troubles {
        self.shared.lock().troubles
    }

    /// Cuts every link between masters of different groups, and mends the others between masters. Links of clients
    /// stay as they are.
    pub fn partition(&self, groups: &[&[u64]]) {
        self.shared.lock().links.partition(groups);
    }

    /// Mends every link.
    pub fn heal(&self) {
        self.shared.lock().links.heal();
    }

    /// Cuts what `from` sends to `to`, requests as well as answers. The other direction stays.
    pub fn cut(&self, from: Place, to: Place) {
        self.shared.lock().links.cut(from, to);
    }

    /// Makes connections in the name of `place`.
    pub fn connector(&self, place: Place) -> Arc<NetworkConnector> {
        Arc::new(NetworkConnector::new(self.clone(), place))
    }

    /// Serves at `address` until told to stop. Whoever served there before is found there no more.
    pub async fn serve(
        &self,
        place: Place,
        address: &str,
        services: impl Services,
        stop: CancellationToken,
    ) -> Result<(), tonic::transport::Error> {
        let (sender, connections) = mpsc::channel(BACKLOG);
        self.shared.lock().servers.insert(address.to_owned(), sender);
        let incoming = ReceiverStream::new(connections).map(Ok::<_, io::Error>);
        let delivery = Delivery::new(self.clone(), place, services);
        let server = transport::server_builder(STREAMS_LIMIT);
        let serving = server.serve_with_incoming_shutdown(delivery, incoming, stop.clone().cancelled_owned());
        transport::drained(serving, &stop, Duration::ZERO).await
    }

    /// Executes a request of `from` at `to`, unless it gets lost. Whoever is told that it did cannot know whether it
    /// was executed.
    pub async fn carry<T>(&self, from: Place, to: Place, request: impl Future<Output = T>) -> Result<T, Lost> {
        match self.departure(from, to) {
            Fate::Arrives { after } => sleep(after).await,
            Fate::Lost { after } | Fate::CutOff { after } => {
                sleep(after).await;
                return Err(Lost);
            }
        }
        let answer = request.await;
        match self.answer(from, to) {
            Fate::Arrives { .. } => Ok(answer),
            Fate::Lost { after } | Fate::CutOff { after } => {
                sleep(after).await;
                Err(Lost)
            }
        }
    }

    /// A connection to whoever serves at `address` now.
    fn dial(&self, from: Place, address: &str) -> Result<tokio::io::DuplexStream, Refused> {
        let mut shared = self.shared.lock();
        let (near, far) = tokio::io::duplex(STREAM_BYTES);
        let server = shared.servers.get(address);
        let accepted = server.is_some_and(|server| server.try_send(CallerStream::new(from, far)).is_ok());
        if accepted {
            return Ok(near);
        }
        shared.troubles.refused += 1;
        let Shared { random, links, .. } = &mut *shared;
        Err(Refused { after: links.rates.unreachable(random) })
    }

    /// What becomes of a request, before it is executed.
    fn departure(&self, from: Place, to: Place) -> Fate {
        let mut shared = self.shared.lock();
        let Shared { random, links, troubles, .. } = &mut *shared;
        let fate = links.departure(from, to, random);
        match fate {
            Fate::Arrives { .. } => {}
            Fate::Lost { .. } => troubles.requests_lost += 1,
            Fate::CutOff { .. } => troubles.cut_off += 1,
        }
        fate
    }

    /// What becomes of the answer to a request of `from`, after it was executed.
    fn answer(&self, from: Place, to: Place) -> Fate {
        let mut shared = self.shared.lock();
        let Shared { random, links, troubles, .. } = &mut *shared;
        let fate = links.answer(from, to, random);
        match fate {
            Fate::Arrives { .. } => troubles.passed += 1,
            Fate::Lost { .. } => troubles.answers_lost += 1,
            Fate::CutOff { .. } => troubles.cut_off += 1,
        }
        fate
    }
}

/// A request or its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lost on the way")]
pub struct Lost;

/// Nobody serves at an address; the caller finds out after a while.
struct Refused {
    after: Duration,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("links", &self.links).field("troubles", &self.troubles).finish_non_exhaustive()
    }
}
