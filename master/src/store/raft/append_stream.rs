use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Requests that are under way at a time: each waits for its answer.
const UNDER_WAY: usize = 1;

/// A call that is kept open, by which one request with entries goes after the other. A call for each request would cost
/// both sides its headers, deadline and end besides.
pub(super) struct AppendStream {
    requests: mpsc::Sender<wire::AppendEntriesRequest>,
    answers: Streaming<wire::AppendEntriesResponse>,
}

impl AppendStream {
    pub(super) async fn open(client: &mut RaftClient<Channel>) -> Result<Self, Status> {
        let (requests, sent) = mpsc::channel(UNDER_WAY);
        let answers = client.stream_append(ReceiverStream::new(sent)).await?.into_inner();
        Ok(Self { requests, answers })
    }

    /// The answer to `request`, and the stream for the next one. It is taken by value because an answer that nobody
    /// waited for would be taken for that to the next request: whoever gives up gives up the stream.
    pub(super) async fn exchange(
        mut self,
        request: wire::AppendEntriesRequest,
    ) -> Result<(wire::AppendEntriesResponse, Self), Status> {
        // A stream that has ended says why when it is read.
        let sent = self.requests.send(request).await;
        match self.answers.message().await? {
            Some(answer) if sent.is_ok() => Ok((answer, self)),
            _ => Err(Status::unavailable("the follower has ended the stream")),
        }
    }
}
