use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use cairn_proto::transport::put_message_prefix;
use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tokio::sync::mpsc;
use tonic::Status;

/// Number of the field `cells` of `GetChunkResponse`.
const CELLS_FIELD: u32 = 1;

/// Cells of one message, or why there are no more.
pub(super) type ReadResult = Result<Vec<Bytes>, Status>;

/// The body of an answer to `GetChunk`: messages whose cells go to the socket from where RocksDB has them. The
/// generated service would copy each into the buffer of its message.
pub(super) struct CellBody {
    messages: mpsc::Receiver<ReadResult>,
    ready: VecDeque<Bytes>,
    ended: bool,
}

/// A body on its way from the service, which makes it, to the layer that puts it in the place of the generated one.
#[derive(Clone)]
pub(super) struct MadeBody(Arc<Mutex<Option<CellBody>>>);

impl MadeBody {
    pub(super) fn new(body: CellBody) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    pub(super) fn take(&self) -> Option<CellBody> {
        self.0.lock().take()
    }
}

impl CellBody {
    pub(super) fn new(messages: mpsc::Receiver<ReadResult>) -> Self {
        Self { messages, ready: VecDeque::new(), ended: false }
    }

    fn end(&mut self, status: &Status) -> Result<Frame<Bytes>, Status> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl Body for CellBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.messages.poll_recv(context)) {
                Some(Ok(cells)) => self.ready = message(cells),
                Some(Err(status)) => return Poll::Ready(Some(self.end(&status))),
                None => return Poll::Ready(Some(self.end(&Status::ok("")))),
            }
        }
    }
}

/// A `GetChunkResponse` as the stream carries it, in pieces: a cell is one of its own.
fn message(cells: Vec<Bytes>) -> VecDeque<Bytes> {
    let field_bytes = |cell: &Bytes| key_len(CELLS_FIELD) + encoded_len_varint(cell.len() as u64) + cell.len();
    let mut heading = BytesMut::new();
    put_message_prefix(&mut heading, cells.iter().map(field_bytes).sum());
    let mut pieces = VecDeque::with_capacity(2 * cells.len() + 1);
    for cell in cells {
        encode_key(CELLS_FIELD, WireType::LengthDelimited, &mut heading);
        encode_varint(cell.len() as u64, &mut heading);
        pieces.push_back(heading.split().freeze());
        pieces.push_back(cell);
    }
    // What is left is the prefix of a message without cells.
    if !heading.is_empty() {
        pieces.push_back(heading.freeze());
    }
    pieces
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_proto::transport::{MessageBuffer, framed};
    use cairn_proto::wire::GetChunkResponse;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;
    use tonic::{Code, Status};

    use super::{CellBody, message};

    #[test]
    fn a_message_has_the_bytes_that_the_generated_encoder_gives_it() {
        for sizes in [vec![], vec![0], vec![1], vec![127, 128], vec![65_584; 8]] {
            let cells: Vec<Bytes> = sizes.iter().map(|size| Bytes::from(vec![7; *size])).collect();
            let pieces: Vec<u8> = message(cells.clone()).iter().flatten().copied().collect();
            assert!(pieces == framed(&GetChunkResponse { cells }), "{sizes:?}");
        }
    }

    #[test]
    fn cells_are_not_copied() {
        let cell = Bytes::from(vec![7; 1000]);
        let pieces = message(vec![cell.clone(), cell.clone()]);
        assert_eq!(pieces.iter().filter(|piece| piece.as_ptr() == cell.as_ptr()).count(), 2);
    }

    #[tokio::test]
    async fn an_answer_ends_with_the_status_that_ended_its_messages() {
        for (end, code) in [(None, Code::Ok), (Some(Status::not_found("a chunk")), Code::NotFound)] {
            let (sender, messages) = mpsc::channel(2);
            sender.send(Ok(vec![Bytes::from_static(b"cell")])).await.unwrap();
            if let Some(status) = end {
                sender.send(Err(status)).await.unwrap();
            }
            drop(sender);
            let collected = CellBody::new(messages).collect().await.unwrap();
            let status = Status::from_header_map(collected.trailers().unwrap()).unwrap();
            assert_eq!(status.code(), code);
            let mut buffer = MessageBuffer::new(100);
            buffer.push(collected.to_bytes());
            let received = buffer.pop::<GetChunkResponse>().unwrap().unwrap();
            assert_eq!(received.message.cells, [Bytes::from_static(b"cell")]);
        }
    }
}
