use std::time::Duration;

use cairn_proto::wire;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::Status;

use super::problem::Problem;

/// Problems of one message.
const PROBLEMS_PER_MESSAGE: usize = 256;
/// How often whoever asked hears how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Nobody listens any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nobody waits for it any more")]
pub(super) struct Unheard;

/// Tells whoever asked what was found, a bounded message at a time; waits while they are slow to take it.
pub(super) struct Reporter {
    messages: mpsc::Sender<Result<wire::FsckResponse, Status>>,
    problems: Vec<wire::FsckProblem>,
    pub(super) progress: wire::FsckProgress,
    told_at: Instant,
}

impl Reporter {
    pub(super) fn new(messages: mpsc::Sender<Result<wire::FsckResponse, Status>>) -> Self {
        let (problems, progress) = (Vec::new(), wire::FsckProgress::default());
        Self { messages, problems, progress, told_at: Instant::now() }
    }

    pub(super) async fn tell(&mut self, problems: impl IntoIterator<Item = Problem>) -> Result<(), Unheard> {
        for problem in problems {
            self.problems.push(problem.into());
            if self.problems.len() >= PROBLEMS_PER_MESSAGE {
                self.send().await?;
            }
        }
        if self.told_at.elapsed() >= PROGRESS_INTERVAL {
            self.send().await?;
        }
        Ok(())
    }

    /// The last message.
    pub(super) async fn finish(mut self) -> Result<(), Unheard> {
        self.progress.finished = true;
        self.send().await
    }

    pub(super) async fn fail(self, status: Status) {
        // Nobody may be there to hear it.
        let _ = self.messages.send(Err(status)).await;
    }

    async fn send(&mut self) -> Result<(), Unheard> {
        self.told_at = Instant::now();
        let problems = std::mem::take(&mut self.problems);
        let message = wire::FsckResponse { problems, progress: Some(self.progress) };
        self.messages.send(Ok(message)).await.map_err(|_| Unheard)
    }
}
