use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use openraft::raft::AppendEntriesRequest;
use tokio::time::{Instant, timeout_at};

use super::Types;

/// How long a request that only tells how far the log is committed may wait for entries to travel with. A follower
/// applies so much later while nothing else is written, and nobody waits for that but an elected master that does
/// not lead Raft.
const COMMIT_NOTICE_DELAY: Duration = Duration::from_millis(5);

/// Lets the notice of a commit travel with the entries that come next, which halves the requests under load.
///
/// A notice that is left out asks for no answer of its own: the answer to a later request, whose entries begin where
/// the notice stood, acknowledges at least as much.
pub(super) fn with_next_entries<S>(requests: S) -> impl Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Send + Unpin + 'static,
{
    Box::pin(stream::unfold(requests.fuse(), |mut requests| async move {
        let mut request = requests.next().await?;
        let until = Instant::now() + COMMIT_NOTICE_DELAY;
        while request.entries.is_empty()
            && let Ok(Some(next)) = timeout_at(until, requests.next()).await
        {
            request = next;
        }
        Some((request, requests))
    }))
}

#[cfg(test)]
mod tests {
    use cairn_proto::wire;
    use futures_util::StreamExt;
    use openraft::EntryPayload;
    use openraft::raft::AppendEntriesRequest;
    use tokio::sync::mpsc;
    use tokio::time::{Duration, sleep, timeout};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::super::convert::{log_id_from_wire, vote_from_wire};
    use super::super::{Entry, Types};
    use super::{COMMIT_NOTICE_DELAY, with_next_entries};

    fn request(entries: u64) -> AppendEntriesRequest<Types> {
        let log_id = |index| log_id_from_wire(&wire::LogId { term: 1, master: 1, index });
        let entries = (0..entries).map(|index| Entry { log_id: log_id(index), payload: EntryPayload::Blank });
        AppendEntriesRequest {
            vote: vote_from_wire(&wire::RaftVote { term: 1, master: 1, committed: true }),
            prev_log_id: None,
            leader_commit: None,
            entries: entries.collect(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_travels_with_entries_that_follow_at_once() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut requests = with_next_entries(UnboundedReceiverStream::new(receiver));
        sender.send(request(0)).unwrap();
        sender.send(request(0)).unwrap();
        sender.send(request(2)).unwrap();
        sender.send(request(1)).unwrap();
        assert_eq!(requests.next().await.unwrap().entries.len(), 2);
        assert_eq!(requests.next().await.unwrap().entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_alone_goes_after_a_moment() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut requests = with_next_entries(UnboundedReceiverStream::new(receiver));
        sender.send(request(0)).unwrap();
        assert!(timeout(COMMIT_NOTICE_DELAY / 2, requests.next()).await.is_err());
        let more = tokio::spawn(async move {
            for _ in 0..100 {
                sleep(Duration::from_millis(1)).await;
                if sender.send(request(0)).is_err() {
                    break;
                }
            }
        });
        let sent = timeout(2 * COMMIT_NOTICE_DELAY, requests.next()).await.expect("further notices do not delay it");
        assert!(sent.unwrap().entries.is_empty());
        drop(requests);
        more.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_notice_is_sent_when_nothing_can_follow() {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut requests = with_next_entries(UnboundedReceiverStream::new(receiver));
        sender.send(request(0)).unwrap();
        drop(sender);
        assert!(requests.next().await.is_some());
        assert!(requests.next().await.is_none());
    }
}
