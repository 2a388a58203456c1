use std::sync::{Arc, OnceLock};

use cairn_proto::records::Chunk;
use cairn_proto::wire;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::nodes::Nodes;
use super::outgoing::QueuedCell;
use super::target::{Target, TargetFailure};
use super::target_sender::{Command, TargetSender};

/// Bytes of cells that wait for one target; a full queue makes the writer wait.
const QUEUE_BYTES: usize = 2 << 20;

/// The way of one chunk's cells to its node: a bounded queue, and a task that empties it.
#[derive(Debug)]
pub(super) struct TargetStream {
    commands: mpsc::UnboundedSender<Command>,
    room: Arc<Semaphore>,
    failure: Arc<OnceLock<TargetFailure>>,
    /// Set once the task is over, after `failure`.
    ended: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl TargetStream {
    /// To a node that passes the cells on to `relays`.
    pub(super) fn start(target: Target, relays: Vec<wire::RelayTarget>, nodes: Arc<Nodes>) -> Self {
        let (commands, received) = mpsc::unbounded_channel();
        let room = Arc::new(Semaphore::new(QUEUE_BYTES));
        let failure = Arc::new(OnceLock::new());
        let (task_room, task_failure) = (Arc::clone(&room), Arc::clone(&failure));
        let ended = CancellationToken::new();
        let task_ended = ended.clone().drop_guard();
        let task = tokio::spawn(async move {
            let _ended = task_ended;
            if let Err(cause) = TargetSender::new(target, relays, nodes, received).run().await {
                task_failure.get_or_init(|| cause);
            }
            task_room.close();
        });
        Self { commands, room, failure, ended, _task: AbortOnDropHandle::new(task) }
    }

    /// Why the target was lost, if it was.
    pub(super) fn failure(&self) -> Option<&TargetFailure> {
        self.failure.get()
    }

    /// Waits for room in the queue. `None`: the target is lost.
    pub(super) async fn room(&self, frame_bytes: usize) -> Option<OwnedSemaphorePermit> {
        let permits = u32::try_from(frame_bytes.min(QUEUE_BYTES)).expect("the queue's limit is a small number");
        Arc::clone(&self.room).acquire_many_owned(permits).await.ok()
    }

    /// Queues a cell. One for a lost target is dropped: the chunk is a hole by then.
    pub(super) fn send(&self, cell: QueuedCell) {
        // A closed channel is noticed by `failure`.
        let _ = self.commands.send(Command::Cell(cell));
    }

    /// Waits until the node has stored all that was queued so far. False: the target is lost.
    pub(super) async fn flush(&self) -> bool {
        self.command(Command::Flush).await
    }

    /// Makes the chunk durable on its node. False: the target is lost.
    pub(super) async fn seal(&self, expected: Chunk) -> bool {
        self.command(|done| Command::Seal(expected, done)).await
    }

    async fn command(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) -> bool {
        let (done, answer) = oneshot::channel();
        if self.commands.send(command(done)).is_ok() && answer.await.is_ok() {
            return true;
        }
        self.ended.cancelled().await;
        self.failure.get_or_init(|| TargetFailure::Transport("its task broke off".to_owned()));
        false
    }
}
