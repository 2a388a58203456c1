//! A client of a key-value service that stands on the store of the masters: each request is executed once, however
//! often it is sent.

mod service;

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use crate::history::{Action, History};
use crate::network::{Network, Place};
use crate::store_group::Directory;
pub use service::Service;
use service::{KeyValueService, Request};

/// How long one master may take over one request before another is asked.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// Pause before a master is asked that said no.
const PAUSE: Duration = Duration::from_millis(10);

/// A client with one request at a time, which it sends until it is answered.
#[derive(Debug)]
pub struct Clerk {
    id: u64,
    network: Network,
    directory: Directory,
    /// The masters it can reach.
    masters: Vec<u64>,
    /// Position of the one it asks first.
    first: usize,
    /// Whether the last request to it got lost.
    asked_again: bool,
    sequence: u64,
    history: Option<History>,
    service: Service,
}

impl Clerk {
    /// A client that nobody else shares the id with.
    pub fn new(id: u64, network: &Network, directory: &Directory, masters: Vec<u64>) -> Self {
        let (network, directory) = (network.clone(), directory.clone());
        Self {
            id,
            network,
            directory,
            masters,
            first: 0,
            asked_again: false,
            sequence: 0,
            history: None,
            service: Service::Right,
        }
    }

    /// Takes down all it does from now on.
    #[must_use]
    pub fn recorded(mut self, history: &History) -> Self {
        self.history = Some(history.clone());
        self
    }

    /// Uses this service from now on.
    #[must_use]
    pub fn using(mut self, service: Service) -> Self {
        self.service = service;
        self
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The value of a key; empty if it was never written.
    pub async fn get(&mut self, key: &str) -> String {
        let value = self.run(key, Action::Get).await;
        String::from_utf8(value.to_vec()).expect("clerks write text")
    }

    /// Replaces the value of a key.
    pub async fn put(&mut self, key: &str, value: impl Into<String>) {
        self.run(key, Action::Put(value.into().into())).await;
    }

    /// Adds to the value of a key.
    pub async fn append(&mut self, key: &str, suffix: impl Into<String>) {
        self.run(key, Action::Append(suffix.into().into())).await;
    }

    /// Sends a request until it is answered.
    pub async fn run(&mut self, key: &str, action: Action) -> Bytes {
        self.sequence += 1;
        let ticket = self.history.as_ref().map(|history| history.invoke(self.id, key, action.clone()));
        let request = Request { client: self.id, sequence: self.sequence, key: key.to_owned(), action };
        let value = loop {
            match timeout(ATTEMPT, self.ask(request.clone())).await {
                Ok(Answer::Value(value)) => break value,
                // Most likely it is well, and only the request got lost.
                Ok(Answer::Lost) if !self.asked_again => self.asked_again = true,
                Ok(Answer::Lost) | Err(_) => self.turn_to_next(),
                Ok(Answer::NotServed) => {
                    sleep(PAUSE).await;
                    self.turn_to_next();
                }
            }
        };
        self.asked_again = false;
        if let (Some(history), Some(ticket)) = (&self.history, ticket) {
            history.answered(ticket, value.clone());
        }
        value
    }

    fn turn_to_next(&mut self) {
        self.first = (self.first + 1) % self.masters.len();
        self.asked_again = false;
    }

    /// One attempt at one master.
    async fn ask(&self, request: Request) -> Answer {
        let id = self.masters[self.first];
        let executed = self.network.carry(Place::Client(self.id), Place::Master(id), async {
            let Some((runtime, store)) = self.directory.at(id) else { return Answer::NotServed };
            // On the master's own runtime: when it crashes, the request dies with it.
            let service = KeyValueService::new(store, self.service);
            match runtime.spawn(async move { service.serve(request).await }).await {
                Ok(Ok(value)) => Answer::Value(value),
                Ok(Err(_)) => Answer::NotServed,
                Err(_) => Answer::Lost,
            }
        });
        executed.await.unwrap_or(Answer::Lost)
    }
}

/// What came of one attempt.
enum Answer {
    Value(Bytes),
    /// Another master may.
    NotServed,
    Lost,
}
