use std::sync::Arc;

use cairn_proto::ids::SessionId;
use cairn_proto::wire::metadata_server::{Metadata, MetadataServer};
use cairn_proto::{MESSAGE_LIMIT_BYTES, wire};
use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

use super::desk::Desk;
use crate::failure::Failure;
use crate::fsck::MESSAGES;
use crate::group::Group;
use crate::office::Office;
use crate::state::State;
use crate::transactions::{AbortRequest, OpenRequest, ReplaceRequest};
use crate::watching::{WatchRequest, Watcher};

/// What clients ask of the masters.
pub struct MetadataService {
    desk: Desk,
    group: Arc<dyn Group>,
}

impl MetadataService {
    /// Served by whatever tenure the office has; the group tells how the other masters are.
    pub fn new(office: Arc<Office>, group: Arc<dyn Group>) -> Self {
        Self { desk: Desk::new(office), group }
    }

    /// As a service for a server, with the limits of its messages set.
    pub fn into_server(self) -> MetadataServer<Self> {
        MetadataServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
    }

    fn leader(&self) -> Result<wire::GetLeaderResponse, Failure> {
        let view = self.desk.office().surroundings().store.view()?;
        let lease = State(view.as_ref()).lease()?;
        let address = lease.as_ref().map(|lease| lease.address.clone()).unwrap_or_default();
        Ok(wire::GetLeaderResponse { lease, address })
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl Metadata for MetadataService {
    async fn open_session(&self, request: Request<wire::OpenSessionRequest>) -> Answer<wire::OpenSessionResponse> {
        self.desk.change(|tenure| async move { tenure.open_session(request.into_inner()).await }).await
    }

    async fn heartbeat(&self, request: Request<wire::HeartbeatRequest>) -> Answer<wire::HeartbeatResponse> {
        self.desk.read(|tenure| async move { tenure.heartbeat(request.into_inner()) }).await
    }

    async fn close_session(&self, request: Request<wire::CloseSessionRequest>) -> Answer<wire::CloseSessionResponse> {
        let session = SessionId(request.into_inner().session);
        let close = move |tenure: Arc<crate::tenure::Tenure>| async move {
            tenure.close_session(session).await?;
            Ok(wire::CloseSessionResponse {})
        };
        self.desk.change(close).await
    }

    async fn open_transaction(
        &self,
        request: Request<wire::OpenTransactionRequest>,
    ) -> Answer<wire::OpenTransactionResponse> {
        let request = OpenRequest::try_from(request.into_inner())?;
        self.desk.read(|tenure| async move { tenure.open_transaction(request).await }).await
    }

    async fn replace_target(
        &self,
        request: Request<wire::ReplaceTargetRequest>,
    ) -> Answer<wire::ReplaceTargetResponse> {
        let request = ReplaceRequest::try_from(request.into_inner())?;
        self.desk.read(|tenure| async move { tenure.replace_target(request).await }).await
    }

    async fn abort_transaction(
        &self,
        request: Request<wire::AbortTransactionRequest>,
    ) -> Answer<wire::AbortTransactionResponse> {
        let request = AbortRequest::try_from(request.into_inner())?;
        let abort = |tenure: Arc<crate::tenure::Tenure>| async move {
            tenure.abort_transaction(request).await?;
            Ok(wire::AbortTransactionResponse {})
        };
        self.desk.change(abort).await
    }

    async fn commit_blob(&self, request: Request<wire::CommitBlobRequest>) -> Answer<wire::CommitBlobResponse> {
        self.desk.change(|tenure| async move { tenure.blobs().commit(request.into_inner()).await }).await
    }

    async fn look_up(&self, request: Request<wire::LookUpRequest>) -> Answer<wire::LookUpResponse> {
        self.desk.read(|tenure| async move { tenure.blobs().look_up(request.into_inner()).await }).await
    }

    async fn list(&self, request: Request<wire::ListRequest>) -> Answer<wire::ListResponse> {
        self.desk.read(|tenure| async move { tenure.blobs().list(request.into_inner()).await }).await
    }

    type WatchStream = BoxStream<'static, Result<wire::WatchResponse, Status>>;

    async fn watch(&self, request: Request<wire::WatchRequest>) -> Answer<Self::WatchStream> {
        let request = WatchRequest::try_from(request.into_inner())?;
        let watcher = self.desk.read(|tenure| async move { Ok(tenure.watchers().admit(request)?) }).await?.into_inner();
        Ok(Response::new(messages(watcher, self.desk.clone())))
    }

    async fn delete(&self, request: Request<wire::DeleteRequest>) -> Answer<wire::DeleteResponse> {
        self.desk.change(|tenure| async move { tenure.blobs().delete(request.into_inner()).await }).await
    }

    async fn set_attributes(
        &self,
        request: Request<wire::SetAttributesRequest>,
    ) -> Answer<wire::SetAttributesResponse> {
        self.desk.change(|tenure| async move { tenure.blobs().set_attributes(request.into_inner()).await }).await
    }

    async fn rename(&self, request: Request<wire::RenameRequest>) -> Answer<wire::RenameResponse> {
        self.desk.change(|tenure| async move { tenure.blobs().rename(request.into_inner()).await }).await
    }

    async fn get_status(&self, _request: Request<wire::GetStatusRequest>) -> Answer<wire::GetStatusResponse> {
        let masters = self.group.masters();
        let status = |tenure: Arc<crate::tenure::Tenure>| async move {
            let status = tenure.status().await?;
            Ok(wire::GetStatusResponse { masters, ..status })
        };
        self.desk.read(status).await
    }

    async fn get_heal_status(
        &self,
        _request: Request<wire::GetHealStatusRequest>,
    ) -> Answer<wire::GetHealStatusResponse> {
        self.desk.read(|tenure| async move { Ok(tenure.reconstruction().report()) }).await
    }

    async fn start_healing(&self, _request: Request<wire::StartHealingRequest>) -> Answer<wire::StartHealingResponse> {
        self.desk.change(|tenure| async move { tenure.start_healing().await }).await
    }

    type FsckStream = ReceiverStream<Result<wire::FsckResponse, Status>>;

    async fn fsck(&self, _request: Request<wire::FsckRequest>) -> Answer<Self::FsckStream> {
        let begun = self.desk.read(|tenure| async move { Ok(tenure.inspector().begin()?) }).await?.into_inner();
        let (messages, stream) = mpsc::channel(MESSAGES);
        tokio::spawn(begun.run(messages));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn get_scrub_status(
        &self,
        _request: Request<wire::GetScrubStatusRequest>,
    ) -> Answer<wire::GetScrubStatusResponse> {
        let status = |tenure: Arc<crate::tenure::Tenure>| async move {
            Ok(wire::GetScrubStatusResponse { nodes: tenure.nodes().scrubs() })
        };
        self.desk.read(status).await
    }

    async fn start_scrubs(&self, request: Request<wire::StartScrubsRequest>) -> Answer<wire::StartScrubsResponse> {
        let request = request.into_inner();
        self.desk.change(|tenure| async move { Ok(tenure.nodes().start_scrubs(request).await) }).await
    }

    async fn get_leader(&self, _request: Request<wire::GetLeaderRequest>) -> Answer<wire::GetLeaderResponse> {
        let leader = self.leader().map_err(|failure| failure.into_status(None))?;
        Ok(Response::new(leader))
    }
}

/// What a watcher is told, up to and with the reason why it ends.
fn messages(watcher: Watcher, desk: Desk) -> BoxStream<'static, Result<wire::WatchResponse, Status>> {
    let next = |(watcher, desk): (Option<Watcher>, Desk)| async move {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(message) => Some((Ok(message), (Some(watcher), desk))),
            Err(failure) => Some((Err(desk.status(failure)), (None, desk))),
        }
    };
    stream::unfold((Some(watcher), desk), next).boxed()
}
