use std::num::NonZeroUsize;
use std::sync::Arc;

use cairn_codec::{Coder, Layout};
use cairn_proto::records::{Key, KeyEntry};
use cairn_proto::transport::DirectChannel;
use cairn_proto::wire;
use cairn_proto::wire::metadata_client::MetadataClient;
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Response, Status};

use super::cell_slot::SlotTable;
use super::found_blob::checked_entry;
use super::known_keys::KnownKeys;
use super::masters::{Call, CallError, CallKind, Masters, UnansweredLimits, metadata};
use super::memory_budget::MemoryBudget;
use super::nodes::Nodes;
use super::open_segments::OpenSegments;
use super::own_changes::OwnChanges;
use super::sessions::Sessions;
use super::{ClientError, ClientOptions, FoundBlob};
use crate::cache::CellCache;

/// Layouts whose coding tables are kept.
const KEPT_CODERS: NonZeroUsize = NonZeroUsize::new(16).expect("not 0");

/// All that the clones of a client share.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) options: ClientOptions,
    pub(super) masters: Arc<Masters>,
    pub(super) open_segments: Arc<OpenSegments>,
    pub(super) own_changes: OwnChanges,
    pub(super) known_keys: KnownKeys,
    pub(super) sessions: Sessions,
    pub(super) nodes: Arc<Nodes>,
    pub(super) write_budget: MemoryBudget,
    /// Of reads that somebody waits for.
    pub(super) read_budget: MemoryBudget,
    /// Of cells read ahead.
    pub(super) read_ahead_budget: MemoryBudget,
    pub(super) cache: CellCache,
    pub(super) slots: Arc<SlotTable>,
    coders: Mutex<LruCache<Layout, Coder>>,
}

impl Connection {
    pub(super) async fn open(options: ClientOptions) -> Result<Arc<Self>, ClientError> {
        let (configured, connector) = (options.masters.clone(), Arc::clone(&options.connector));
        let limits = UnansweredLimits {
            overviews: options.unanswered_overview_limit.min(options.unanswered_limit),
            others: options.unanswered_limit,
        };
        let masters = Arc::new(Masters::new(configured, connector, limits).await?);
        let open_segments = Arc::new(OpenSegments::default());
        let sessions = Sessions::new(Arc::clone(&masters), Arc::clone(&open_segments), options.purpose.clone());
        Ok(Arc::new(Self {
            masters,
            open_segments,
            own_changes: OwnChanges::default(),
            known_keys: KnownKeys::new(),
            sessions,
            nodes: Arc::new(Nodes::new(Arc::clone(&options.connector))),
            write_budget: MemoryBudget::new(options.write_memory_bytes),
            read_budget: MemoryBudget::new(options.read_memory_bytes / 2),
            read_ahead_budget: MemoryBudget::new(options.read_memory_bytes / 2),
            cache: CellCache::new(options.cache_bytes),
            slots: Arc::default(),
            coders: Mutex::new(LruCache::new(KEPT_CODERS)),
            options,
        }))
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.deadline
    }

    /// This client changed a key by the command at `applied_index`.
    pub(super) fn changed(&self, applied_index: u64) {
        self.own_changes.add(applied_index);
        self.open_segments.see(applied_index);
    }

    /// This client has `key` point at `entry` by the command at `applied_index`.
    pub(super) fn changed_to(
        &self,
        key: &Key,
        applied_index: u64,
        entry: Option<wire::KeyEntry>,
    ) -> Result<KeyEntry, ClientError> {
        self.changed(applied_index);
        let (_, entry) = checked_entry(key.as_str(), entry)?;
        self.known_keys.learn(key, applied_index, entry);
        Ok(entry)
    }

    /// The answer to a mutation of `keys`. If it failed, they may not be what they were known to be.
    pub(super) fn or_doubted<T>(&self, keys: &[&Key], answer: Result<T, ClientError>) -> Result<T, ClientError> {
        if answer.is_err() {
            for key in keys {
                self.known_keys.doubt(key);
            }
        }
        answer
    }

    pub(super) fn coder(&self, layout: Layout) -> Coder {
        self.coders.lock().get_or_insert(layout, || Coder::new(layout)).clone()
    }

    /// A request that changes nothing, or nothing that matters if it is sent twice.
    pub(super) async fn ask<T, F, R>(&self, what: &'static str, request: F) -> Result<T, ClientError>
    where
        F: Fn(MetadataClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask_as(CallKind::Repeatable, what, request).await
    }

    /// A request that lists or counts.
    pub(super) async fn overview<T, F, R>(&self, what: &'static str, request: F) -> Result<T, ClientError>
    where
        F: Fn(MetadataClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        self.ask_as(CallKind::Overview, what, request).await
    }

    async fn ask_as<T, F, R>(&self, kind: CallKind, what: &'static str, request: F) -> Result<T, ClientError>
    where
        F: Fn(MetadataClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let call = Call { what, deadline: self.deadline(), kind };
        self.masters.call(call, request).await.map_err(|error| error.into_client_error(what))
    }

    /// A mutation of the metadata service.
    pub(super) async fn mutate<T, F, R>(&self, what: &'static str, request: F) -> Result<T, ClientError>
    where
        F: Fn(MetadataClient<DirectChannel>, wire::RequestId) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        self.mutate_on(what, |channel, id| request(metadata(channel), id)).await
    }

    /// A mutation of the client's session, of any service of the masters. If the session turns out to have expired
    /// before the first attempt reached the masters, it is done in a new one.
    pub(super) async fn mutate_on<T, F, R>(&self, what: &'static str, request: F) -> Result<T, ClientError>
    where
        F: Fn(DirectChannel, wire::RequestId) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let call = Call { what, deadline: self.deadline(), kind: CallKind::Mutation };
        loop {
            let session = self.sessions.current(call.deadline).await?;
            let slot = session.requests().take().await;
            match self.masters.call_on(call, |channel| request(channel, slot.id())).await {
                Err(CallError::Refused { refusal: cairn_proto::Refusal::SessionExpired { .. }, maybe_ran: false })
                    if Instant::now() < call.deadline =>
                {
                    session.lose();
                }
                answer => return answer.map_err(|error| error.into_client_error(what)),
            }
        }
    }

    /// Looks up what `key` points at.
    pub(super) async fn look_up_key(&self, key: &Key) -> Result<FoundBlob, ClientError> {
        let target = wire::look_up_request::Target::Key(key.as_str().to_owned());
        let (found, applied_index) = self.or_doubted(&[key], self.look_up(target, None).await)?;
        self.known_keys.learn(key, applied_index, *found.entry());
        Ok(found)
    }

    /// Looks a blob up, and says as of which index. The session exists before the answer, so that its next report names
    /// the blob's segments.
    async fn look_up(
        &self,
        target: wire::look_up_request::Target,
        known: Option<KeyEntry>,
    ) -> Result<(FoundBlob, u64), ClientError> {
        self.sessions.current(self.deadline()).await?;
        let under_way = self.open_segments.start_look_up();
        let request = wire::LookUpRequest {
            target: Some(target),
            min_applied_index: under_way.min_applied_index(),
            entry_only: false,
        };
        let answer = self.ask("look up the blob", |mut master| {
            let request = request.clone();
            async move { master.look_up(request).await }
        });
        let answer = answer.await?;
        let applied_index = answer.applied_index;
        self.open_segments.see(applied_index);
        Ok((FoundBlob::from_wire(answer, known, &self.open_segments)?, applied_index))
    }

    /// Looks a blob up again, whatever its key points at by now.
    pub(super) async fn look_up_again(&self, found: &FoundBlob) -> Result<FoundBlob, ClientError> {
        let target = wire::look_up_request::Target::Blob(found.blob().id.to_wire());
        self.look_up(target, Some(*found.entry())).await.map(|(found, _)| found)
    }
}
