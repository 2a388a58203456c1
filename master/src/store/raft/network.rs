use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cairn_proto::transport::InvalidAddress;
use cairn_proto::wire;
use futures_util::Stream;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2, stream_append_sequential};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};
use tokio::sync::watch;
use tonic::{Code, Request, Status};

use super::append_stream::AppendStream;
use super::commit_notices::with_next_entries;
use super::convert::{
    InvalidMessage, append_response_from_wire, append_to_wire, snapshot_meta_to_wire, snapshot_response_from_wire,
    transfer_to_wire, vote_request_to_wire, vote_response_from_wire, vote_to_wire,
};
use super::peers::{Lane, Peers};
use super::snapshot::SnapshotFiles;
use super::snapshot_sender::pieces;
use super::{Peer, Silence, Types, Vote};

/// How long a follower may take to make entries durable. Longer than a heartbeat: a slow disk must not make the
/// leader send the same entries again and again.
const APPEND_DEADLINE: Duration = Duration::from_secs(2);
/// How long a snapshot on its way may stand still.
const STALL_LIMIT: Duration = Duration::from_secs(10);
/// How long the other side may take to make a snapshot that is all sent its state.
const INSTALL_LIMIT: Duration = Duration::from_mins(2);

type AppendResult = Result<StreamAppendResult<Types>, RPCError<Types>>;
type CommittedLeader = openraft::type_config::alias::CommittedLeaderIdOf<Types>;

/// Makes links to other masters.
pub(crate) struct Network {
    me: u64,
    peers: Arc<Peers>,
    silence: Arc<Silence>,
}

/// The way to one other master.
pub(crate) struct Link {
    me: u64,
    target: u64,
    peer: Peer,
    peers: Arc<Peers>,
    silence: Arc<Silence>,
    /// Open while every request by it was answered.
    appends: Option<AppendStream>,
}

/// Why a call to another master failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(transparent)]
    Address(#[from] InvalidAddress),
    #[error("{}: {}", .0.code(), .0.message())]
    Status(#[from] Status),
    #[error(transparent)]
    Answer(#[from] InvalidMessage),
    #[error("no majority answers this master, so that it is silent")]
    Silent,
}

impl Network {
    pub(crate) fn new(me: u64, peers: Arc<Peers>, silence: Arc<Silence>) -> Self {
        Self { me, peers, silence }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Link {
        Link {
            me: self.me,
            target,
            peer: node.clone(),
            peers: Arc::clone(&self.peers),
            silence: Arc::clone(&self.silence),
            appends: None,
        }
    }
}

impl Link {
    fn request<T>(message: T, deadline: Duration) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        request
    }

    fn header(&self) -> wire::RaftHeader {
        self.peers.header(self.target, self.peer.disk)
    }

    /// Runs a call under its deadline. Whatever went wrong, the next attempt waits: none passes in no time.
    async fn call<T>(
        &self,
        action: RPCTypes,
        deadline: Duration,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, RPCError<Types>> {
        match tokio::time::timeout(deadline, call).await {
            Err(_) => Err(self.timed_out(action, deadline)),
            Ok(answer) => answer.map_err(|error| self.failed(action, deadline, &error)),
        }
    }

    fn timed_out(&self, action: RPCTypes, timeout: Duration) -> RPCError<Types> {
        RPCError::Timeout(Timeout { action, id: self.me, target: self.target, timeout })
    }

    fn failed(&self, action: RPCTypes, deadline: Duration, error: &CallError) -> RPCError<Types> {
        if let CallError::Status(status) = error {
            self.peers.note(self.target, status);
            if status.code() == Code::DeadlineExceeded {
                return self.timed_out(action, deadline);
            }
        }
        RPCError::Unreachable(Unreachable::new(error))
    }

    /// Sends entries by the stream, which is opened where there is none.
    async fn append_by_stream(
        &mut self,
        message: wire::AppendEntriesRequest,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        let open = self.appends.take();
        let exchange = async {
            let stream = if let Some(stream) = open {
                stream
            } else {
                let mut client = self.peers.client(self.target, &self.peer.address, Lane::Replication)?;
                AppendStream::open(&mut client).await?
            };
            let (answer, stream) = stream.exchange(message).await?;
            Ok((append_response_from_wire(&answer)?, stream))
        };
        let (answer, stream) = self.call(RPCTypes::AppendEntries, APPEND_DEADLINE, exchange).await?;
        self.appends = Some(stream);
        Ok(answer)
    }

    async fn ask_for_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        let deadline = option.soft_ttl();
        let message = vote_request_to_wire(&request, self.header(), pre_vote);
        self.call(RPCTypes::Vote, deadline, async {
            let mut client = self.peers.client(self.target, &self.peer.address, Lane::Control)?;
            let answer = client.vote(Self::request(message, deadline)).await?;
            Ok(vote_response_from_wire(&answer.into_inner())?)
        })
        .await
    }
}

impl Link {
    /// Sends a snapshot for as long as it moves on, however long that takes.
    async fn send_snapshot(
        &self,
        header: wire::SnapshotHeader,
        snapshot: Arc<SnapshotFiles>,
    ) -> Result<SnapshotResponse<Types>, RPCError<Types>> {
        let (stream, progress) = pieces(header, snapshot);
        let sending = async {
            let mut client = self.peers.client(self.target, &self.peer.address, Lane::Snapshot)?;
            let answer = client.install_snapshot(Request::new(stream)).await?;
            Ok(snapshot_response_from_wire(&answer.into_inner())?)
        };
        tokio::select! {
            sent = sending => sent.map_err(|error| self.failed(RPCTypes::InstallSnapshot, STALL_LIMIT, &error)),
            limit = stalled(progress) => Err(self.timed_out(RPCTypes::InstallSnapshot, limit)),
        }
    }
}

/// Returns the limit passed once a snapshot on its way has stood still for too long.
async fn stalled(mut progress: watch::Receiver<u64>) -> Duration {
    loop {
        match tokio::time::timeout(STALL_LIMIT, progress.changed()).await {
            Ok(Ok(())) => {}
            Err(_) => return STALL_LIMIT,
            Ok(Err(_)) => {
                tokio::time::sleep(INSTALL_LIMIT).await;
                return INSTALL_LIMIT;
            }
        }
    }
}

impl RaftNetworkV2<Types> for Link {
    type SnapshotData = Arc<SnapshotFiles>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        if !self.silence.is_over() {
            return Err(RPCError::Unreachable(Unreachable::new(&CallError::Silent)));
        }
        let message = append_to_wire(&request, self.header());
        if !request.entries.is_empty() {
            return self.append_by_stream(message).await;
        }
        let deadline = option.soft_ttl();
        self.call(RPCTypes::AppendEntries, deadline, async {
            let mut client = self.peers.client(self.target, &self.peer.address, Lane::Control)?;
            let answer = client.append_entries(Self::request(message, deadline)).await?;
            Ok(append_response_from_wire(&answer.into_inner())?)
        })
        .await
    }

    fn stream_append<S>(
        &mut self,
        requests: S,
        option: RPCOption,
    ) -> BoxFuture<'_, Result<BoxStream<'_, AppendResult>, RPCError<Types>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        stream_append_sequential(self, with_next_entries(requests), option)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(request, false, option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.ask_for_vote(request, true, option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<CommittedLeader, u64, Peer, Arc<SnapshotFiles>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let header = wire::SnapshotHeader {
            header: Some(self.header()),
            vote: Some(vote_to_wire(&vote)),
            meta: Some(snapshot_meta_to_wire(&snapshot.meta, snapshot.snapshot.id())),
            files: snapshot.snapshot.files().to_vec(),
        };
        let sent = self.send_snapshot(header, snapshot.snapshot);
        tokio::select! {
            sent = sent => Ok(sent?),
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        let deadline = option.soft_ttl();
        let message = transfer_to_wire(&request, self.header());
        let accepted = self
            .call(RPCTypes::TransferLeader, deadline, async {
                let mut client = self.peers.client(self.target, &self.peer.address, Lane::Control)?;
                let answer = client.transfer_leader(Self::request(message, deadline)).await?;
                Ok(answer.into_inner().accepted)
            })
            .await?;
        if accepted { Ok(Ok(())) } else { Err(NetworkError::from_string("the hand-over was refused").into()) }
    }
}
