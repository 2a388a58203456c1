//! Messages as one master sends them to another.

use cairn_proto::ids::ClusterId;
use cairn_proto::wire;
use cairn_proto::wire::raft_client::RaftClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::Cluster;

impl Cluster {
    /// What a master sends to another: by default this is right in every field.
    pub(in crate::store::cluster_tests) fn header(&self, from: usize, to: usize) -> wire::RaftHeader {
        let (sender, target) = (self.store(from), self.store(to));
        wire::RaftHeader {
            cluster: sender.cluster().map(ClusterId::to_wire).unwrap_or_default(),
            target: self.members[to].id,
            target_disk: target.master_id().to_wire(),
            sender: self.members[from].id,
            sender_disk: sender.master_id().to_wire(),
        }
    }

    /// Asks a master for its vote before an election.
    pub(in crate::store::cluster_tests) async fn ask_for_vote(
        &self,
        number: usize,
        header: wire::RaftHeader,
    ) -> Result<wire::VoteResponse, tonic::Status> {
        let address = format!("http://{}", self.members[number].address);
        let mut client = RaftClient::connect(address).await.unwrap();
        let vote = wire::RaftVote { term: 0, master: 2, committed: false };
        let request = wire::VoteRequest {
            header: Some(header),
            vote: Some(vote),
            pre_vote: true,
            ..wire::VoteRequest::default()
        };
        client.vote(request).await.map(tonic::Response::into_inner)
    }

    /// Opens a stream of appends to a master: what takes requests, and what gives the answers.
    pub(in crate::store::cluster_tests) async fn stream_appends(
        &self,
        number: usize,
    ) -> (mpsc::Sender<wire::AppendEntriesRequest>, Streaming<wire::AppendEntriesResponse>) {
        let address = format!("http://{}", self.members[number].address);
        let mut client = RaftClient::connect(address).await.unwrap();
        let (requests, sent) = mpsc::channel(2);
        let answers = client.stream_append(ReceiverStream::new(sent)).await.unwrap();
        (requests, answers.into_inner())
    }

    /// Sends a forwarded command to a master.
    pub(in crate::store::cluster_tests) async fn propose(
        &self,
        number: usize,
        header: wire::RaftHeader,
        command: wire::Command,
    ) -> Result<wire::ProposeResponse, tonic::Status> {
        let address = format!("http://{}", self.members[number].address);
        let mut client = RaftClient::connect(address).await.unwrap();
        let request = wire::ProposeRequest { header: Some(header), command: Some(command) };
        client.propose(request).await.map(tonic::Response::into_inner)
    }
}
