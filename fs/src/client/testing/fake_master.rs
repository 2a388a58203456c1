use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use cairn_codec::Layout;
use cairn_proto::ids::{BlobId, ClusterId, SegmentId};
use cairn_proto::wire::metadata_server::{Metadata, MetadataServer};
use cairn_proto::{Refusal, wire};
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::client::wire_layout;

/// What goes wrong at a master.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::client) enum MasterFault {
    /// Another one is elected; empty when none is.
    NotElected(String),
    /// The next mutations are carried out, and their answers lost.
    LosesReplies(usize),
    /// Requests are taken and never answered.
    Stopped,
}

#[derive(Debug)]
pub(in crate::client) struct State {
    pub(in crate::client) index: u64,
    pub(in crate::client) layout: Layout,
    pub(in crate::client) nodes: Vec<wire::NodeInfo>,
    /// The transfer plan of every segment.
    pub(in crate::client) relayed: Vec<wire::RelayedChunk>,
    pub(in crate::client) entries: HashMap<String, wire::KeyEntry>,
    pub(in crate::client) blobs: HashMap<BlobId, wire::Blob>,
    pub(in crate::client) segments: HashMap<SegmentId, wire::Segment>,
    pub(in crate::client) sessions: Vec<u64>,
    pub(in crate::client) replies: HashMap<(u64, u64), wire::CommitBlobResponse>,
    pub(in crate::client) openings_received: usize,
    pub(in crate::client) commits_received: usize,
    pub(in crate::client) aborted: Vec<wire::TransactionId>,
    pub(in crate::client) heartbeats: Vec<wire::HeartbeatRequest>,
    /// What the next watchers are told, one after the other.
    pub(in crate::client) watches: VecDeque<ToldWatcher>,
    pub(in crate::client) watched: Vec<wire::WatchRequest>,
    pub(in crate::client) fault: Option<MasterFault>,
}

/// What one watcher is told.
#[derive(Debug, Default)]
pub(in crate::client) struct ToldWatcher {
    pub(in crate::client) messages: Vec<wire::WatchResponse>,
    pub(in crate::client) end: ToldEnd,
}

/// How the stream of a watcher goes on when all is told.
#[derive(Debug, Default)]
pub(in crate::client) enum ToldEnd {
    /// It falls silent.
    #[default]
    Silence,
    /// It breaks off.
    Break,
    /// It ends with a reason.
    Refusal(Refusal),
}

/// A master that keeps its records in memory. Several may share one state, like masters of one cluster.
#[derive(Debug)]
pub(in crate::client) struct FakeMaster {
    pub(in crate::client) address: String,
    pub(in crate::client) state: Arc<Mutex<State>>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
struct Service {
    state: Arc<Mutex<State>>,
}

impl FakeMaster {
    pub(in crate::client) async fn start(layout: Layout, nodes: Vec<wire::NodeInfo>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            index: 10,
            layout,
            nodes,
            relayed: Vec::new(),
            entries: HashMap::new(),
            blobs: HashMap::new(),
            segments: HashMap::new(),
            sessions: Vec::new(),
            replies: HashMap::new(),
            openings_received: 0,
            commits_received: 0,
            aborted: Vec::new(),
            heartbeats: Vec::new(),
            watches: VecDeque::new(),
            watched: Vec::new(),
            fault: None,
        }));
        let service = MetadataServer::new(Service { state: Arc::clone(&state) });
        let serving = tonic::transport::Server::builder().add_service(service);
        let serving = serving.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, state, _server: AbortOnDropHandle::new(server) }
    }

    pub(in crate::client) fn fail(&self, fault: MasterFault) {
        self.state.lock().fault = Some(fault);
    }
}

impl Service {
    async fn admit(&self) -> Result<(), Status> {
        let fault = self.state.lock().fault.clone();
        match fault {
            Some(MasterFault::NotElected(elected)) => Err(Refusal::NotElected { elected }.into()),
            Some(MasterFault::Stopped) => std::future::pending().await,
            Some(MasterFault::LosesReplies(_)) | None => Ok(()),
        }
    }

    /// After a mutation was carried out.
    fn answer<T>(&self, answer: T) -> Result<Response<T>, Status> {
        match &mut self.state.lock().fault {
            Some(MasterFault::LosesReplies(left)) if *left > 0 => {
                *left -= 1;
                Err(Status::unavailable("connection broke"))
            }
            _ => Ok(Response::new(answer)),
        }
    }

    fn check_session(&self, session: u64) -> Result<(), Status> {
        if self.state.lock().sessions.contains(&session) {
            return Ok(());
        }
        Err(Refusal::SessionExpired { session: session.to_string() }.into())
    }
}

impl State {
    fn commit(&mut self, request: &wire::CommitBlobRequest) -> wire::CommitBlobResponse {
        self.index += 1;
        if let Some(sealed) = request.sealed.clone() {
            let id = SegmentId::from_wire(&sealed.id).unwrap();
            assert!(self.segments.insert(id, sealed).is_none(), "a segment is committed once");
        }
        let blob = BlobId::from_wire(&request.blob).unwrap();
        let record = wire::Blob {
            id: request.blob.clone(),
            serial: self.index,
            key: request.key.clone(),
            size_bytes: request.size_bytes,
            extents: request.extents.clone(),
            digest: request.digest.clone(),
            state: wire::BlobState::Live.into(),
            ..wire::Blob::default()
        };
        assert!(self.blobs.insert(blob, record).is_none(), "a blob is committed once");
        let entry = wire::KeyEntry {
            blob: request.blob.clone(),
            serial: self.index,
            size_bytes: request.size_bytes,
            attributes: request.attributes,
        };
        self.entries.insert(request.key.clone(), entry.clone());
        wire::CommitBlobResponse { entry: Some(entry), applied_index: self.index }
    }

    fn look_up(&self, request: &wire::LookUpRequest) -> Result<wire::LookUpResponse, Refusal> {
        let (entry, blob) = match request.target.as_ref().unwrap() {
            wire::look_up_request::Target::Key(key) => {
                let entry = self.entries.get(key).ok_or_else(|| Refusal::KeyNotFound { key: key.clone() })?;
                (Some(entry.clone()), BlobId::from_wire(&entry.blob).unwrap())
            }
            wire::look_up_request::Target::Blob(blob) => (None, BlobId::from_wire(blob).unwrap()),
        };
        let blob = self.blobs.get(&blob).ok_or_else(|| Refusal::BlobNotFound { blob: blob.to_string() })?;
        let segment = |extent: &wire::Extent| self.segments[&SegmentId::from_wire(&extent.segment).unwrap()].clone();
        Ok(wire::LookUpResponse {
            entry,
            blob: (!request.entry_only).then(|| blob.clone()),
            segments: blob.extents.iter().map(segment).collect(),
            nodes: self.nodes.clone(),
            applied_index: self.index,
        })
    }
}

#[tonic::async_trait]
impl Metadata for Service {
    async fn open_session(
        &self,
        _request: Request<wire::OpenSessionRequest>,
    ) -> Result<Response<wire::OpenSessionResponse>, Status> {
        self.admit().await?;
        let mut state = self.state.lock();
        state.index += 1;
        let session = state.index;
        state.sessions.push(session);
        Ok(Response::new(wire::OpenSessionResponse {
            session,
            cluster: ClusterId::generate().to_wire(),
            timeout_ms: 1000,
            heartbeat_interval_ms: 20,
            applied_index: session,
            default_layout: Some(wire_layout::to_wire(&state.layout)),
            write_once: false,
        }))
    }

    async fn heartbeat(
        &self,
        request: Request<wire::HeartbeatRequest>,
    ) -> Result<Response<wire::HeartbeatResponse>, Status> {
        self.admit().await?;
        self.check_session(request.get_ref().session)?;
        let mut state = self.state.lock();
        state.heartbeats.push(request.into_inner());
        Ok(Response::new(wire::HeartbeatResponse { applied_index: state.index }))
    }

    async fn close_session(
        &self,
        request: Request<wire::CloseSessionRequest>,
    ) -> Result<Response<wire::CloseSessionResponse>, Status> {
        self.admit().await?;
        self.state.lock().sessions.retain(|session| *session != request.get_ref().session);
        Ok(Response::new(wire::CloseSessionResponse {}))
    }

    async fn open_transaction(
        &self,
        request: Request<wire::OpenTransactionRequest>,
    ) -> Result<Response<wire::OpenTransactionResponse>, Status> {
        self.admit().await?;
        let request = request.into_inner();
        self.check_session(request.transaction.unwrap().session)?;
        let mut state = self.state.lock();
        state.openings_received += 1;
        let exclusive = request.precondition.is_some_and(|precondition| {
            matches!(precondition.condition, Some(wire::precondition::Condition::Absent(_)))
        });
        if exclusive && state.entries.contains_key(&request.key) {
            return Err(Refusal::KeyExists { key: request.key }.into());
        }
        let layout = request.layout.unwrap_or_else(|| wire_layout::to_wire(&state.layout));
        let chunks = (layout.data + layout.code) as usize;
        let avoided = |node: &wire::NodeInfo| request.avoid_nodes.contains(&node.id);
        let mut targets: Vec<_> = state.nodes.iter().filter(|node| !avoided(node)).cloned().collect();
        targets.resize(chunks, wire::NodeInfo::default());
        let opened = || wire::OpenedSegment {
            segment: SegmentId::generate().to_wire(),
            targets: targets.clone(),
            relayed: state.relayed.clone(),
        };
        let wire::OpenedSegment { segment, targets, relayed } = opened();
        let further = (0..request.further).map(|_| opened()).collect();
        Ok(Response::new(wire::OpenTransactionResponse { segment, layout: Some(layout), targets, further, relayed }))
    }

    async fn replace_target(
        &self,
        request: Request<wire::ReplaceTargetRequest>,
    ) -> Result<Response<wire::ReplaceTargetResponse>, Status> {
        self.admit().await?;
        let request = request.into_inner();
        let open = request.open.unwrap();
        self.check_session(open.transaction.unwrap().session)?;
        assert!(request.kept_nodes.iter().all(|kept| open.nodes.contains(kept)), "what is kept was opened");
        let is_free =
            |node: &&wire::NodeInfo| !open.nodes.contains(&node.id) && !request.avoid_nodes.contains(&node.id);
        let state = self.state.lock();
        let target = state.nodes.iter().find(is_free).cloned().ok_or_else(|| Refusal::TooFewNodes {
            needed: "1".to_owned(),
            serving: "0".to_owned(),
            missing: "none".to_owned(),
        })?;
        Ok(Response::new(wire::ReplaceTargetResponse { target: Some(target) }))
    }

    async fn abort_transaction(
        &self,
        request: Request<wire::AbortTransactionRequest>,
    ) -> Result<Response<wire::AbortTransactionResponse>, Status> {
        self.admit().await?;
        self.state.lock().aborted.push(request.into_inner().transaction.unwrap());
        Ok(Response::new(wire::AbortTransactionResponse {}))
    }

    async fn commit_blob(
        &self,
        request: Request<wire::CommitBlobRequest>,
    ) -> Result<Response<wire::CommitBlobResponse>, Status> {
        self.state.lock().commits_received += 1;
        self.admit().await?;
        let request = request.into_inner();
        let id = request.request.unwrap();
        self.check_session(id.client)?;
        let answer = {
            let mut state = self.state.lock();
            let known = state.replies.get(&(id.client, id.sequence)).cloned();
            let answer = known.unwrap_or_else(|| state.commit(&request));
            state.replies.insert((id.client, id.sequence), answer.clone());
            answer
        };
        self.answer(answer)
    }

    async fn look_up(&self, request: Request<wire::LookUpRequest>) -> Result<Response<wire::LookUpResponse>, Status> {
        self.admit().await?;
        let state = self.state.lock();
        assert!(request.get_ref().min_applied_index <= state.index);
        Ok(Response::new(state.look_up(request.get_ref())?))
    }

    async fn list(&self, request: Request<wire::ListRequest>) -> Result<Response<wire::ListResponse>, Status> {
        self.admit().await?;
        let request = request.into_inner();
        let state = self.state.lock();
        let mut keys: Vec<&String> = state.entries.keys().filter(|key| **key > request.start_after).collect();
        keys.sort_unstable();
        let page = &keys[..keys.len().min(request.limit as usize)];
        let continue_after = page.last().filter(|_| page.len() < keys.len()).map(|key| (*key).clone());
        let listed = |key: &&String| wire::ListedKey { key: (*key).clone(), entry: state.entries.get(*key).cloned() };
        Ok(Response::new(wire::ListResponse {
            keys: page.iter().map(listed).collect(),
            continue_after: continue_after.unwrap_or_default(),
            applied_index: state.index,
        }))
    }

    type FsckStream = BoxStream<'static, Result<wire::FsckResponse, Status>>;

    async fn fsck(&self, _request: Request<wire::FsckRequest>) -> Result<Response<Self::FsckStream>, Status> {
        self.admit().await?;
        let progress = Some(wire::FsckProgress { finished: true, ..wire::FsckProgress::default() });
        let message = wire::FsckResponse { problems: Vec::new(), progress };
        Ok(Response::new(stream::iter([Ok(message)]).boxed()))
    }

    type WatchStream = BoxStream<'static, Result<wire::WatchResponse, Status>>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.admit().await?;
        let mut state = self.state.lock();
        state.watched.push(request.into_inner());
        let told = state.watches.pop_front().unwrap_or_default();
        let messages = stream::iter(told.messages.into_iter().map(Ok));
        let rest = match told.end {
            ToldEnd::Silence => stream::pending().boxed(),
            ToldEnd::Break => stream::empty().boxed(),
            ToldEnd::Refusal(refusal) => stream::iter([Err(Status::from(refusal))]).boxed(),
        };
        Ok(Response::new(messages.chain(rest).boxed()))
    }

    async fn delete(&self, request: Request<wire::DeleteRequest>) -> Result<Response<wire::DeleteResponse>, Status> {
        self.admit().await?;
        let request = request.into_inner();
        self.check_session(request.request.unwrap().client)?;
        let mut state = self.state.lock();
        if state.entries.remove(&request.key).is_none() {
            return Err(Refusal::KeyNotFound { key: request.key }.into());
        }
        state.index += 1;
        Ok(Response::new(wire::DeleteResponse { applied_index: state.index }))
    }

    async fn set_attributes(
        &self,
        _request: Request<wire::SetAttributesRequest>,
    ) -> Result<Response<wire::SetAttributesResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn rename(&self, _request: Request<wire::RenameRequest>) -> Result<Response<wire::RenameResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn get_status(
        &self,
        _request: Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn get_heal_status(
        &self,
        _request: Request<wire::GetHealStatusRequest>,
    ) -> Result<Response<wire::GetHealStatusResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn start_healing(
        &self,
        _request: Request<wire::StartHealingRequest>,
    ) -> Result<Response<wire::StartHealingResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn get_scrub_status(
        &self,
        _request: Request<wire::GetScrubStatusRequest>,
    ) -> Result<Response<wire::GetScrubStatusResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn start_scrubs(
        &self,
        _request: Request<wire::StartScrubsRequest>,
    ) -> Result<Response<wire::StartScrubsResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }

    async fn get_leader(
        &self,
        _request: Request<wire::GetLeaderRequest>,
    ) -> Result<Response<wire::GetLeaderResponse>, Status> {
        Err(Status::unimplemented("not needed by these tests"))
    }
}
