use std::sync::Arc;
use std::time::Duration;

use cairn_codec::{CellId, Frame};
use cairn_proto::{WireRefusal, wire};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use super::directory::LocateError;
use super::{RelayTarget, Relays};

/// A node that takes nothing for this long while cells wait is left behind: before the writer loses patience with this
/// node.
const STALL: Duration = Duration::from_millis(1500);
/// How long a node may take to store the rest after the end.
const END: Duration = Duration::from_secs(2);

/// Why a copy was left behind.
#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Locate(#[from] LocateError),
    #[error("{0}")]
    Refused(WireRefusal),
    #[error("took nothing for {} ms", STALL.as_millis())]
    Stalled,
    #[error("did not store the rest within {} s", END.as_secs())]
    NoAnswer,
    #[error("answered before the end")]
    EndedEarly,
    #[error("its task broke off: {0}")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// The way of one chunk's cells to one of its copies.
pub(super) struct RelayStream {
    target: RelayTarget,
    /// `None`: left behind.
    open: Option<Open>,
}

struct Open {
    frames: mpsc::Sender<Arc<[Frame]>>,
    sending: AbortOnDropHandle<Result<(), RelayError>>,
}

impl RelayStream {
    pub(super) fn start(relays: &Arc<Relays>, target: RelayTarget) -> Self {
        let (frames, received) = mpsc::channel(1);
        let sending = tokio::spawn(send(Arc::clone(relays), target.clone(), received));
        Self { target, open: Some(Open { frames, sending: AbortOnDropHandle::new(sending) }) }
    }

    /// Hands cells over as soon as the node takes them.
    pub(super) async fn pass(&mut self, frames: Arc<[Frame]>) {
        let Some(open) = &self.open else { return };
        let failure = match timeout(STALL, open.frames.send(frames)).await {
            Ok(Ok(())) => return,
            Ok(Err(_)) => None,
            Err(_) => Some(RelayError::Stalled),
        };
        if let Some(Open { sending, .. }) = self.open.take() {
            let failure = match failure {
                Some(failure) => failure,
                None => sending.await.map_err(RelayError::from).flatten().err().unwrap_or(RelayError::EndedEarly),
            };
            self.leave_behind(&failure);
        }
    }

    pub(super) async fn finish(mut self) {
        let Some(Open { frames, sending }) = self.open.take() else { return };
        drop(frames);
        let ended = match timeout(END, sending).await {
            Ok(ended) => ended.map_err(RelayError::from).flatten(),
            Err(_) => Err(RelayError::NoAnswer),
        };
        if let Err(failure) = ended {
            self.leave_behind(&failure);
        }
    }

    fn leave_behind(&self, failure: &RelayError) {
        let RelayTarget { node, chunk_index, .. } = &self.target;
        tracing::warn!(%node, chunk_index, %failure, "cells were not passed on");
    }
}

async fn send(
    relays: Arc<Relays>,
    target: RelayTarget,
    received: mpsc::Receiver<Arc<[Frame]>>,
) -> Result<(), RelayError> {
    let _slot = relays.streams.acquire().await.expect("the slots are never closed");
    let mut node = relays.directory.find(target.node, target.incarnation).await?;
    let first = wire::PutChunkRequest { target: Some(target.chunk), ..wire::PutChunkRequest::default() };
    let cells = ReceiverStream::new(received).map(move |frames| {
        let copies = frames.iter().map(|frame| copy(frame, target.chunk_index).into_bytes());
        wire::PutChunkRequest { cells: copies.collect(), ..wire::PutChunkRequest::default() }
    });
    let stored = node.put_chunk(stream::iter([first]).chain(cells)).await;
    // It may have moved.
    stored
        .inspect_err(|_| relays.directory.forget(target.node))
        .map_err(|status| RelayError::Refused(status.into()))?;
    Ok(())
}

/// The cell as one of another chunk that is a copy.
fn copy(frame: &Frame, chunk: u8) -> Frame {
    Frame::from_payload(&CellId { chunk, ..frame.id() }, &frame.payload())
}
