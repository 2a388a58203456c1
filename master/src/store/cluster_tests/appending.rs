//! Streams of appends from one master to another.

use cairn_proto::ids::MasterId;
use cairn_proto::wire::append_entries_response::Outcome;
use cairn_proto::{Refusal, wire};
use tokio::time::timeout;

use super::super::LogOptions;
use super::harness::{Cluster, LONG_LEASE, PATIENCE};

/// Of a leader whose term is over, so that nothing comes of it.
fn outdated(header: wire::RaftHeader) -> wire::AppendEntriesRequest {
    let vote = wire::RaftVote { term: 0, master: header.sender, committed: true };
    wire::AppendEntriesRequest { header: Some(header), vote: Some(vote), ..wire::AppendEntriesRequest::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_stream_has_its_answer_until_one_is_refused() {
    let cluster = Cluster::start_with(3, LogOptions::default(), LONG_LEASE).await;
    cluster.steady().await;
    let (requests, mut answers) = cluster.stream_appends(0).await;
    for _ in 0..2 {
        requests.send(outdated(cluster.header(1, 0))).await.unwrap();
        let answer = timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
        assert!(matches!(answer.outcome, Some(Outcome::HigherVote(_))), "{answer:?}");
    }
    let other = wire::RaftHeader { target_disk: MasterId::generate().to_wire(), ..cluster.header(1, 0) };
    requests.send(outdated(other)).await.unwrap();
    // The refusal may have ended the stream by then: either way it has no answer.
    requests.send(outdated(cluster.header(1, 0))).await.ok();
    let refused = timeout(PATIENCE, answers.message()).await.unwrap().unwrap_err();
    assert!(matches!(Refusal::from_status(&refused), Some(Refusal::WrongDisk { .. })), "{refused}");
    let rest = timeout(PATIENCE, answers.message()).await.unwrap();
    assert!(matches!(rest, Ok(None)), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_ends_when_its_master_stops() {
    let cluster = Cluster::start_with(1, LogOptions::default(), LONG_LEASE).await;
    cluster.steady().await;
    let (requests, mut answers) = cluster.stream_appends(0).await;
    cluster.store(0).shutdown().await;
    let end = timeout(PATIENCE, answers.message()).await.expect("it ends although the sender keeps it open");
    assert!(matches!(end, Ok(None)), "{end:?}");
    drop(requests);
}
