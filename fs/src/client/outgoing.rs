use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use cairn_proto::wire;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// A cell waiting to be sent, and the room that it takes up in its target's queue and in the client's write budget.
#[derive(Debug)]
pub(super) struct QueuedCell {
    pub(super) frame: Bytes,
    pub(super) room: OwnedSemaphorePermit,
    pub(super) budget: Option<OwnedSemaphorePermit>,
}

/// One message of a stream of cells, with the room it takes up.
#[derive(Debug)]
pub(super) struct OutgoingMessage {
    pub(super) request: wire::PutChunkRequest,
    pub(super) memory: Vec<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
}

/// The messages of one stream as HTTP/2 takes them. It asks for the next message when the one before is nearly
/// written out, so that is when the room of the one before is given back.
#[derive(Debug)]
pub(super) struct Outgoing {
    messages: mpsc::Receiver<OutgoingMessage>,
    memory: Vec<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)>,
}

impl Outgoing {
    pub(super) fn new(messages: mpsc::Receiver<OutgoingMessage>) -> Self {
        Self { messages, memory: Vec::new() }
    }
}

impl Stream for Outgoing {
    type Item = wire::PutChunkRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.memory.clear();
        self.messages.poll_recv(context).map(|message| {
            message.map(|message| {
                self.memory = message.memory;
                message.request
            })
        })
    }
}
