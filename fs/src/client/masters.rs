use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::transport::{Connector, DirectChannel, Liveness};
use cairn_proto::wire::metadata_client::MetadataClient;
use cairn_proto::{MESSAGE_LIMIT_BYTES, Refusal, WireRefusal};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};
use tonic::{Response, Status};

use super::ClientError;
use super::backoff::Backoff;
use super::master_ring::MasterRing;
use super::transport;

/// How long one master may take over one request before another is asked: what a stopped master costs.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How long the resolution of a name may take.
const RESOLVE: Duration = Duration::from_secs(2);

/// One request to the elected master, as often as it takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    /// What is to be done, for messages: "commit the blob".
    pub(super) what: &'static str,
    /// When to give up.
    pub(super) deadline: Instant,
    /// What it does.
    pub(super) kind: CallKind,
}

/// What a request does to the state of the masters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallKind {
    /// Nothing: it lists or counts, and whoever waits may as well look again later.
    Overview,
    /// Nothing, or nothing that matters if it is done twice.
    Repeatable,
    /// If it was carried out without an answer, that matters.
    Mutation,
}

/// How long a call goes on while no master answers at all.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnansweredLimits {
    /// One that lists or counts.
    pub(super) overviews: Duration,
    /// Any other.
    pub(super) others: Duration,
}

/// Why a call failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The elected master refused. `maybe_ran`: an earlier attempt got no answer.
    Refused { refusal: Refusal, maybe_ran: bool },
    /// No elected master answered in time.
    GaveUp(ClientError),
}

impl CallError {
    pub(super) fn into_client_error(self, what: &'static str) -> ClientError {
        match self {
            Self::Refused { refusal: Refusal::SessionExpired { session }, maybe_ran: true } => {
                ClientError::OutcomeUnknown { what, why: format!("session {session} expired before an answer came") }
            }
            Self::Refused { refusal, .. } => ClientError::from_refusal(what, refusal),
            Self::GaveUp(error) => error,
        }
    }
}

/// What one attempt came to.
enum Attempt<T> {
    Done(T),
    Refused(Refusal),
    NotElected(String),
    NoAnswer { why: String, maybe_ran: bool, silence: Silence },
}

/// How an attempt ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Silence {
    /// The master says that it cannot answer now.
    NotReady,
    /// Request or answer got lost on the way; most likely the master is well.
    Lost,
    /// The master took no connection, or its time.
    Unresponsive,
}

/// What the attempts so far came to.
#[derive(Default)]
struct History {
    reached: bool,
    maybe_ran: bool,
    last: String,
    /// The master that the last attempt was sent to, if it got lost.
    lost_at: Option<String>,
}

/// The masters of a cluster, of which one is elected.
#[derive(Debug)]
pub(super) struct Masters {
    configured: Vec<String>,
    connector: Arc<dyn Connector>,
    unanswered_limits: UnansweredLimits,
    ring: Mutex<MasterRing>,
    channels: Mutex<HashMap<String, DirectChannel>>,
}

impl Masters {
    /// Names are resolved now, and again while nobody answers.
    pub(super) async fn new(
        configured: Vec<String>,
        connector: Arc<dyn Connector>,
        unanswered_limits: UnansweredLimits,
    ) -> Result<Self, ClientError> {
        if configured.is_empty() {
            return Err(ClientError::InvalidRequest { why: "no address of a master is given".to_owned() });
        }
        let addresses = resolve(&configured).await;
        let ring = Mutex::new(MasterRing::new(addresses));
        Ok(Self { configured, connector, unanswered_limits, ring, channels: Mutex::default() })
    }

    /// Sends a request of the metadata service to the elected master, wherever it is. `request` runs once for every
    /// attempt.
    pub(super) async fn call<T, F, R>(&self, call: Call, request: F) -> Result<T, CallError>
    where
        F: Fn(MetadataClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_on(call, |channel| request(metadata(channel))).await
    }

    /// As [`Self::call`], for any service of the masters; also follows a master that names the one that leads Raft.
    pub(super) async fn call_on<T, F, R>(&self, call: Call, request: F) -> Result<T, CallError>
    where
        F: Fn(DirectChannel) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let limit = match call.kind {
            CallKind::Overview => self.unanswered_limits.overviews,
            CallKind::Repeatable | CallKind::Mutation => self.unanswered_limits.others,
        };
        let unanswered = call.deadline.min(Instant::now() + limit);
        let mut backoff = Backoff::new();
        let mut history = History::default();
        loop {
            let Some(address) = self.target() else { return Err(self.gave_up(call, history)) };
            let channel = self.channel(&address).map_err(CallError::GaveUp)?;
            match attempt(request(channel), call.deadline).await {
                Attempt::Done(answer) => {
                    self.ring.lock().answered(&address);
                    return Ok(answer);
                }
                Attempt::Refused(refusal) => {
                    self.ring.lock().answered(&address);
                    return Err(CallError::Refused { refusal, maybe_ran: history.maybe_ran });
                }
                Attempt::NotElected(elected) => {
                    history.reached = true;
                    history.last = format!("{address} is not elected");
                    if self.ring.lock().redirected(&address, &elected, Instant::now()) {
                        continue;
                    }
                }
                Attempt::NoAnswer { why, maybe_ran, silence } => {
                    history.no_answer(&address, &why, maybe_ran, silence);
                    if self.is_worth_asking_again(&address, silence, &mut history) {
                        continue;
                    }
                }
            }
            let end = if history.reached { call.deadline } else { unanswered };
            if Instant::now() >= end || !self.pace(&mut backoff, end).await {
                return Err(self.gave_up(call, history));
            }
        }
    }

    /// Asks one master after the other until one answers, elected or not.
    pub(super) async fn ask_any<T, F, R>(&self, call: Call, request: F) -> Result<T, ClientError>
    where
        F: Fn(MetadataClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask_any_on(call, |channel| request(metadata(channel))).await
    }

    /// As [`Self::ask_any`], for another service than the metadata service.
    pub(super) async fn ask_any_on<T, F, R>(&self, call: Call, request: F) -> Result<T, ClientError>
    where
        F: Fn(DirectChannel) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let addresses = self.ring.lock().addresses().to_vec();
        self.ask_in_turn(call, &addresses, request).await
    }

    /// Asks these masters, one after the other, each once, until one answers.
    pub(super) async fn ask_in_turn<T, F, R>(
        &self,
        call: Call,
        addresses: &[String],
        request: F,
    ) -> Result<T, ClientError>
    where
        F: Fn(DirectChannel) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let mut history = History::default();
        for address in addresses {
            match attempt(request(self.channel(address)?), call.deadline).await {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Refused(refusal) => return Err(ClientError::from_refusal(call.what, refusal)),
                Attempt::NotElected(elected) => {
                    history.reached = true;
                    history.last = format!("{address} is not elected, but {elected}");
                }
                Attempt::NoAnswer { why, maybe_ran, silence } => history.no_answer(address, &why, maybe_ran, silence),
            }
        }
        Err(self.gave_up(call, history).into_client_error(call.what))
    }

    /// Whether a master that did not answer is asked once more at once, since only a message got lost; otherwise the
    /// next one is.
    fn is_worth_asking_again(&self, address: &str, silence: Silence, history: &mut History) -> bool {
        let lost_before = history.lost_at.take();
        match silence {
            Silence::Lost if lost_before.as_deref() != Some(address) => {
                history.lost_at = Some(address.to_owned());
                return true;
            }
            Silence::Lost | Silence::NotReady => self.ring.lock().unanswered(address),
            Silence::Unresponsive => self.ring.lock().failed(address, Instant::now()),
        }
        false
    }

    /// At the end of a round: waits, and learns what the names resolve to now. False if the deadline is too near.
    async fn pace(&self, backoff: &mut Backoff, deadline: Instant) -> bool {
        if !self.ring.lock().round_ended() {
            return true;
        }
        if !backoff.wait(deadline).await {
            return false;
        }
        let addresses = resolve(&self.configured).await;
        self.ring.lock().replace(addresses);
        true
    }

    fn target(&self) -> Option<String> {
        self.ring.lock().target(Instant::now())
    }

    fn channel(&self, address: &str) -> Result<DirectChannel, ClientError> {
        let mut channels = self.channels.lock();
        if let Some(channel) = channels.get(address) {
            return Ok(channel.clone());
        }
        let made = DirectChannel::new(Arc::clone(&self.connector), address, Liveness::USUAL)?;
        channels.insert(address.to_owned(), made.clone());
        Ok(made)
    }

    fn gave_up(&self, call: Call, history: History) -> CallError {
        let (what, why) = (call.what, history.last);
        CallError::GaveUp(if call.kind == CallKind::Mutation && history.maybe_ran {
            ClientError::OutcomeUnknown { what, why }
        } else if history.reached {
            ClientError::Unavailable { what, why }
        } else {
            ClientError::Unreachable { what, masters: self.configured.join(", "), why }
        })
    }
}

impl History {
    fn no_answer(&mut self, address: &str, why: &str, maybe_ran: bool, silence: Silence) {
        self.reached |= silence == Silence::NotReady;
        self.maybe_ran |= maybe_ran;
        self.last = format!("{address}: {why}");
    }
}

pub(super) fn metadata(channel: DirectChannel) -> MetadataClient<DirectChannel> {
    MetadataClient::new(channel)
        .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
        .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
}

async fn attempt<T>(request: impl Future<Output = Result<Response<T>, Status>>, deadline: Instant) -> Attempt<T> {
    let attempt_deadline = deadline.min(Instant::now() + ATTEMPT);
    let Ok(result) = timeout_at(attempt_deadline, request).await else {
        let why = "no answer in time".to_owned();
        return Attempt::NoAnswer { why, maybe_ran: true, silence: Silence::Unresponsive };
    };
    let status = match result {
        Ok(response) => return Attempt::Done(response.into_inner()),
        Err(status) => status,
    };
    let maybe_ran = !transport::never_sent(&status);
    match WireRefusal::from(status) {
        WireRefusal::Refused(Refusal::NotElected { elected: named } | Refusal::NotLeading { leader: named }) => {
            Attempt::NotElected(named)
        }
        // A master may lose its standing between proposing a command and answering.
        WireRefusal::Refused(Refusal::NotReady { why }) => {
            Attempt::NoAnswer { why, maybe_ran: true, silence: Silence::NotReady }
        }
        WireRefusal::Refused(refusal) => Attempt::Refused(refusal),
        WireRefusal::Transport(status) => {
            let silence = if maybe_ran { Silence::Lost } else { Silence::Unresponsive };
            Attempt::NoAnswer { why: transport::describe(&status), maybe_ran, silence }
        }
    }
}

/// All addresses that the configured names stand for; a name that does not resolve now stands for itself.
async fn resolve(configured: &[String]) -> Vec<String> {
    let mut addresses = Vec::new();
    for name in configured {
        match tokio::time::timeout(RESOLVE, tokio::net::lookup_host(name)).await {
            Ok(Ok(found)) => addresses.extend(found.map(|address| address.to_string())),
            _ => addresses.push(name.clone()),
        }
    }
    let mut seen = std::collections::HashSet::new();
    addresses.retain(|address| seen.insert(address.clone()));
    addresses
}
