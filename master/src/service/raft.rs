use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::wire::raft_server::{Raft, RaftServer};
use cairn_proto::wire::snapshot_piece::Piece;
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, Refusal, wire};
use futures_util::{Stream, StreamExt};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::store::{Admission, Group, Introduction, ReceiveError, RequestError, SnapshotFiles, SnapshotReceiver};

/// How long the sender of a snapshot may pause.
const PIECE_DEADLINE: Duration = Duration::from_secs(10);
/// Snapshots received at a time.
const SNAPSHOT_LIMIT: usize = 1;

type AppendAnswers = Pin<Box<dyn Stream<Item = Result<wire::AppendEntriesResponse, Status>> + Send>>;

/// What masters say to one another.
pub struct RaftService {
    own: Introduction,
    group: Group,
    admission: Arc<Admission>,
    incoming: PathBuf,
    snapshots: Semaphore,
}

impl RaftService {
    pub(crate) fn new(own: Introduction, group: Group, admission: Admission, incoming: PathBuf) -> Self {
        let admission = Arc::new(admission);
        Self { own, group, admission, incoming, snapshots: Semaphore::new(SNAPSHOT_LIMIT) }
    }

    /// As a service for a server, with the limits of its messages set.
    pub fn into_server(self) -> RaftServer<Self> {
        RaftServer::new(self)
            .max_decoding_message_size(BULK_MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(BULK_MESSAGE_LIMIT_BYTES)
    }

    async fn receive(&self, pieces: &mut Streaming<wire::SnapshotPiece>) -> Result<Received, Status> {
        let first = next_piece(pieces).await?.and_then(|piece| piece.piece);
        let Some(Piece::Header(header)) = first else {
            return Err(invalid("a snapshot begins with its header"));
        };
        self.admission.check(header.header.as_ref())?;
        let _one_at_a_time = self
            .snapshots
            .try_acquire()
            .map_err(|_| Status::from(Refusal::NotReady { why: "another snapshot is being received".to_owned() }))?;
        let incoming = self.incoming.clone();
        let files = header.files;
        let mut receiver = blocking(move || SnapshotReceiver::begin(&incoming, files)).await?;
        while let Some(piece) = next_piece(pieces).await? {
            receiver = blocking(move || receiver.take(piece).map(|()| receiver)).await?;
        }
        let files = blocking(move || receiver.finish()).await?;
        Ok(Received { vote: header.vote, meta: header.meta, files })
    }
}

struct Received {
    vote: Option<wire::RaftVote>,
    meta: Option<wire::SnapshotMeta>,
    files: SnapshotFiles,
}

#[async_trait]
impl Raft for RaftService {
    async fn append_entries(
        &self,
        request: Request<wire::AppendEntriesRequest>,
    ) -> Result<Response<wire::AppendEntriesResponse>, Status> {
        let request = request.into_inner();
        self.admission.check(request.header.as_ref())?;
        self.group.append(request).await.map(Response::new).map_err(refuse)
    }

    type StreamAppendStream = AppendAnswers;

    /// Ends with this master's part in the group: an open stream would hold the stop of the server up.
    async fn stream_append(
        &self,
        request: Request<Streaming<wire::AppendEntriesRequest>>,
    ) -> Result<Response<Self::StreamAppendStream>, Status> {
        let (group, admission) = (self.group.clone(), Arc::clone(&self.admission));
        let stopped = self.group.clone().stopped();
        let answers = request.into_inner().then(move |request| {
            let (group, admission) = (group.clone(), Arc::clone(&admission));
            async move {
                let request = request?;
                admission.check(request.header.as_ref())?;
                group.append(request).await.map_err(refuse)
            }
        });
        Ok(Response::new(Box::pin(answers.take_until(stopped))))
    }

    async fn vote(&self, request: Request<wire::VoteRequest>) -> Result<Response<wire::VoteResponse>, Status> {
        let request = request.into_inner();
        self.admission.check(request.header.as_ref())?;
        self.group.vote(request).await.map(Response::new).map_err(refuse)
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPiece>>,
    ) -> Result<Response<wire::InstallSnapshotResponse>, Status> {
        let received = self.receive(&mut request.into_inner()).await?;
        let installed = self.group.install(received.vote, received.meta, received.files).await;
        installed.map(Response::new).map_err(refuse)
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        let request = request.into_inner();
        self.admission.check(request.header.as_ref())?;
        self.group.transfer(request).await.map(Response::new).map_err(refuse)
    }

    async fn propose(&self, request: Request<wire::ProposeRequest>) -> Result<Response<wire::ProposeResponse>, Status> {
        let request = request.into_inner();
        let sender = self.admission.check(request.header.as_ref())?;
        self.group.take(sender, request.command).await.map(Response::new).map_err(refuse)
    }

    async fn introduce(
        &self,
        request: Request<wire::IntroduceRequest>,
    ) -> Result<Response<wire::IntroduceResponse>, Status> {
        let theirs = Introduction::from_wire(request.into_inner().introduction);
        let theirs = theirs.map_err(|error| invalid(&error.to_string()))?;
        self.admission.check_cluster(theirs.cluster)?;
        let grouped = self.group.is_grouped().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let own = Introduction { cluster: self.admission.cluster(), grouped, ..self.own.clone() };
        let standing = self.admission.standing(theirs.member.id, theirs.disk);
        Ok(Response::new(wire::IntroduceResponse { introduction: Some(own.to_wire()), standing: standing.into() }))
    }
}

async fn next_piece(pieces: &mut Streaming<wire::SnapshotPiece>) -> Result<Option<wire::SnapshotPiece>, Status> {
    let next = tokio::time::timeout(PIECE_DEADLINE, pieces.message()).await;
    next.map_err(|_| Status::deadline_exceeded("the sender of the snapshot paused for too long"))?
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReceiveError> + Send + 'static,
) -> Result<T, Status> {
    let done = spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))?;
    done.map_err(|error| match error {
        ReceiveError::Invalid(_) => invalid(&error.to_string()),
        ReceiveError::Disk(_) => Status::unavailable(error.to_string()),
    })
}

fn invalid(why: &str) -> Status {
    Refusal::InvalidRequest { why: why.to_owned() }.into()
}

fn refuse(error: RequestError) -> Status {
    match error {
        RequestError::Invalid(error) => invalid(&error.to_string()),
        RequestError::Stopped { why } => Refusal::NotReady { why }.into(),
    }
}
