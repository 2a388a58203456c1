use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cairn_proto::records::Chunk;
use cairn_proto::{WireRefusal, wire};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Response, Status};

use super::backoff::Backoff;
use super::nodes::Nodes;
use super::outgoing::{Outgoing, OutgoingMessage, QueuedCell};
use super::target::{Target, TargetFailure};
use super::transport;

/// Bytes of cells in one message of a stream.
const MESSAGE_BYTES: usize = 512 << 10;
/// Cells are held back up to here, so that a small blob travels in one request with its seal.
const HELD_BYTES: usize = 512 << 10;
/// Cells held back for this long go out although no seal came: the write budget is not theirs to keep.
const LINGER: Duration = Duration::from_millis(50);
/// A stream with nothing to send for this long is ended, so that idle files hold none.
const IDLE: Duration = Duration::from_millis(100);
/// A node that takes nothing for this long while cells wait is lost.
const STALL: Duration = Duration::from_secs(2);
/// How long a node may take to store the rest of a stream after its end.
const STREAM_END: Duration = Duration::from_secs(3);
/// How long a node may take to make a chunk durable; after that the chunk counts as missing.
const SEAL: Duration = Duration::from_secs(3);
/// Bytes of cells above which a seal travels with the bulk transfers.
const SMALL_SEAL_BYTES: usize = 64 << 10;

const _: () = assert!(HELD_BYTES <= 1 << 20, "what is held back fits in one seal request");

/// What the writer tells the task of one target.
#[derive(Debug)]
pub(super) enum Command {
    Cell(QueuedCell),
    /// Answered when all cells before it are stored.
    Flush(oneshot::Sender<()>),
    /// Answered when the chunk is durable and exactly as named here.
    Seal(Chunk, oneshot::Sender<()>),
}

/// Sends the cells of one chunk to its node: held back while few, then in streams, at the end with the seal.
///
/// States: *holding* (no stream, cells pending), *streaming* (stream open), *quiet* (neither). Streams follow one
/// another only after the node acknowledged the one before, so that a row written again arrives after its first
/// version.
pub(super) struct TargetSender {
    target: Target,
    relays: Vec<wire::RelayTarget>,
    nodes: Arc<Nodes>,
    commands: mpsc::UnboundedReceiver<Command>,
    pending: VecDeque<QueuedCell>,
    pending_bytes: usize,
    stream: Option<OpenStream>,
    quiet_since: Instant,
}

struct OpenStream {
    messages: mpsc::Sender<OutgoingMessage>,
    answer: AbortOnDropHandle<Result<Response<wire::PutChunkResponse>, Status>>,
    sent_cells: u64,
    _slot: OwnedSemaphorePermit,
}

impl TargetSender {
    pub(super) fn new(
        target: Target,
        relays: Vec<wire::RelayTarget>,
        nodes: Arc<Nodes>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        let (pending, pending_bytes, stream) = (VecDeque::new(), 0, None);
        Self { target, relays, nodes, commands, pending, pending_bytes, stream, quiet_since: Instant::now() }
    }

    /// Works until the writer is gone, or the target is lost.
    pub(super) async fn run(mut self) -> Result<(), TargetFailure> {
        let result = self.serve().await;
        if let Err(cause) = &result {
            let node = self.target.node;
            tracing::warn!(%node, name = self.target.name, %cause, "lost a node in mid-write");
            if cause.is_of_node() {
                self.nodes.unreachable.add(node, Instant::now());
            } else if cause.is_full() {
                self.nodes.refusing_writes.add(node, Instant::now());
            }
        }
        result
    }

    async fn serve(&mut self) -> Result<(), TargetFailure> {
        loop {
            while self.pending_bytes < MESSAGE_BYTES {
                match self.commands.try_recv() {
                    Ok(command) => self.handle(command).await?,
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if self.stream.is_some() && !self.pending.is_empty() {
                self.send_message().await?;
            } else if self.pending_bytes >= HELD_BYTES {
                self.open_stream().await?;
            } else if !self.wait().await? {
                return Ok(());
            }
        }
    }

    /// Waits for a command or for the end of the patience with a quiet state. False: the writer is gone.
    async fn wait(&mut self) -> Result<bool, TargetFailure> {
        let patience = if self.stream.is_some() { IDLE } else { LINGER };
        let limited = self.stream.is_some() || !self.pending.is_empty();
        tokio::select! {
            biased;
            command = self.commands.recv() => match command {
                Some(command) => self.handle(command).await?,
                None => return Ok(false),
            },
            failure = early_answer(&mut self.stream) => return Err(failure),
            () = sleep_until(self.quiet_since + patience), if limited => {
                if self.stream.is_some() { self.end_stream().await? } else { self.open_stream().await? }
            }
        }
        Ok(true)
    }

    async fn handle(&mut self, command: Command) -> Result<(), TargetFailure> {
        match command {
            Command::Cell(cell) => {
                if self.pending.is_empty() {
                    self.quiet_since = Instant::now();
                }
                self.pending_bytes += cell.frame.len();
                self.pending.push_back(cell);
            }
            Command::Flush(done) => {
                self.drain().await?;
                // The writer may have stopped waiting.
                let _ = done.send(());
            }
            Command::Seal(expected, done) => {
                if self.stream.is_some() || self.pending_bytes > HELD_BYTES {
                    self.drain().await?;
                }
                self.seal(&expected).await?;
                // As above.
                let _ = done.send(());
            }
        }
        Ok(())
    }

    /// Sends all that is pending and waits until the node has stored it.
    async fn drain(&mut self) -> Result<(), TargetFailure> {
        while !self.pending.is_empty() {
            if self.stream.is_none() {
                self.open_stream().await?;
            }
            self.send_message().await?;
        }
        self.end_stream().await
    }

    async fn open_stream(&mut self) -> Result<(), TargetFailure> {
        let since = Instant::now();
        let slots = Arc::clone(&self.target.connections.write_streams);
        let slot = slots.acquire_owned().await.expect("the slots of a node are never closed");
        if self.nodes.unreachable.failed_after(&self.target.node, since) {
            return Err(TargetFailure::FailedElsewhere);
        }
        let (messages, outgoing) = mpsc::channel(1);
        let mut client = self.target.connections.bulk_writes();
        let answer = tokio::spawn(async move { client.put_chunk(Outgoing::new(outgoing)).await });
        let answer = AbortOnDropHandle::new(answer);
        self.stream = Some(OpenStream { messages, answer, sent_cells: 0, _slot: slot });
        self.quiet_since = Instant::now();
        Ok(())
    }

    /// Hands the oldest pending cells to the stream, as soon as it takes them.
    async fn send_message(&mut self) -> Result<(), TargetFailure> {
        let Some(stream) = self.stream.as_mut() else { return Ok(()) };
        let place = tokio::select! {
            biased;
            answer = &mut stream.answer => return Err(failure_of(answer)),
            Ok(place) = stream.messages.reserve() => place,
            () = sleep(STALL) => return Err(TargetFailure::Stalled(STALL)),
        };
        let is_first = stream.sent_cells == 0;
        let target = is_first.then(|| self.target.chunk.clone());
        let relays = if is_first { self.relays.clone() } else { Vec::new() };
        let (mut cells, mut memory, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(cell) = self.pending.front() {
            if !cells.is_empty() && bytes + cell.frame.len() > MESSAGE_BYTES {
                break;
            }
            bytes += cell.frame.len();
            let Some(cell) = self.pending.pop_front() else { break };
            memory.push((cell.room, cell.budget));
            cells.push(cell.frame);
        }
        stream.sent_cells += cells.len() as u64;
        place.send(OutgoingMessage { request: wire::PutChunkRequest { target, cells, relays }, memory });
        self.pending_bytes -= bytes;
        self.quiet_since = Instant::now();
        Ok(())
    }

    async fn end_stream(&mut self) -> Result<(), TargetFailure> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let OpenStream { messages, answer, sent_cells, _slot } = stream;
        drop(messages);
        let answer = timeout(STREAM_END, answer).await.map_err(|_| TargetFailure::NoAnswer(STREAM_END))?;
        match answer {
            Ok(Ok(response)) if response.get_ref().stored_cells == sent_cells => Ok(()),
            Ok(Ok(response)) => {
                let stored = response.get_ref().stored_cells;
                Err(TargetFailure::WrongAnswer(format!("that it stored {stored} cells of {sent_cells}")))
            }
            failed => Err(failure_of(failed)),
        }
    }

    /// Repeated until the node answers: a repeated seal answers the same.
    async fn seal(&mut self, expected: &Chunk) -> Result<(), TargetFailure> {
        let cells: Vec<Bytes> = self.pending.iter().map(|cell| cell.frame.clone()).collect();
        let request = wire::SealBlobRequest {
            target: Some(self.target.chunk.clone()),
            relays: if cells.is_empty() { Vec::new() } else { self.relays.clone() },
            cells,
            expected: Some(wire::Chunk::from(expected)),
        };
        let is_small = self.pending_bytes <= SMALL_SEAL_BYTES;
        let deadline = Instant::now() + SEAL;
        let mut backoff = Backoff::new();
        loop {
            let answer = timeout_at(deadline, self.target.connections.seal(request.clone(), is_small)).await;
            let cause = match answer.map_err(|_| TargetFailure::NoAnswer(SEAL))? {
                Ok(answer) => {
                    check_seal(answer.into_inner(), expected)?;
                    self.nodes.unreachable.remove(&self.target.node);
                    self.pending.clear();
                    self.pending_bytes = 0;
                    return Ok(());
                }
                Err(status) => failure_of_status(status),
            };
            if !matches!(cause, TargetFailure::Transport(_)) || !backoff.wait(deadline).await {
                return Err(cause);
            }
        }
    }
}

fn check_seal(answer: wire::SealBlobResponse, expected: &Chunk) -> Result<(), TargetFailure> {
    let chunk = answer.chunk.ok_or_else(|| TargetFailure::WrongAnswer("a seal without a chunk".to_owned()))?;
    let sealed = Chunk::try_from(chunk).map_err(|error| TargetFailure::WrongAnswer(error.to_string()))?;
    if sealed == *expected {
        return Ok(());
    }
    let (cells, length) = (sealed.cells, sealed.length_bytes);
    Err(TargetFailure::WrongAnswer(format!(
        "that it sealed {cells} cells of {length} bytes, not the {} cells of {} bytes that were sent",
        expected.cells, expected.length_bytes
    )))
}

/// Waits for the answer of a stream that was not ended yet: a node answers early only to refuse.
async fn early_answer(stream: &mut Option<OpenStream>) -> TargetFailure {
    match stream {
        Some(stream) => failure_of((&mut stream.answer).await),
        None => std::future::pending().await,
    }
}

fn failure_of(
    answer: Result<Result<Response<wire::PutChunkResponse>, Status>, tokio::task::JoinError>,
) -> TargetFailure {
    match answer {
        Ok(Ok(_)) => TargetFailure::WrongAnswer("before the end of the stream".to_owned()),
        Ok(Err(status)) => failure_of_status(status),
        Err(error) => TargetFailure::Transport(error.to_string()),
    }
}

fn failure_of_status(status: Status) -> TargetFailure {
    match WireRefusal::from(status) {
        WireRefusal::Refused(refusal) => TargetFailure::Refused(refusal),
        WireRefusal::Transport(status) => TargetFailure::Transport(transport::describe(&status)),
    }
}
