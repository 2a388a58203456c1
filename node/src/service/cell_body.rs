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

/// What goes out together: the cells of one message.
pub(super) struct Portion {
    pub(super) cells: Vec<Bytes>,
    /// How the answer ends behind them; `None`: another portion follows.
    pub(super) end: Option<Status>,
}

/// The body of an answer to `GetChunk`: messages whose cells go to the socket from where RocksDB has them. The
/// generated service would copy each into the buffer of its message.
pub(super) struct CellBody {
    portions: mpsc::Receiver<Portion>,
    ready: VecDeque<Bytes>,
    /// What the answer ends with once all that is ready went out.
    end: Option<Status>,
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
    /// Waits for the first portion: what is read in one then goes to the socket together, from the headers of the
    /// answer to its end.
    pub(super) async fn new(mut portions: mpsc::Receiver<Portion>) -> Self {
        let first = portions.recv().await;
        let mut body = Self { portions, ready: VecDeque::new(), end: None, ended: false };
        body.take_in(first);
        body
    }

    fn take_in(&mut self, portion: Option<Portion>) {
        let Portion { cells, end } = portion.unwrap_or_else(Portion::cut_off);
        self.ready = if cells.is_empty() { VecDeque::new() } else { message(cells) };
        self.end = end;
    }

    fn finish(&mut self, status: &Status) -> Result<Frame<Bytes>, Status> {
        self.ended = true;
        let mut trailers = HeaderMap::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl Portion {
    /// Whoever read is gone, and did not say how it ended.
    fn cut_off() -> Self {
        Self { cells: Vec::new(), end: Some(Status::unavailable("reading was cut off")) }
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
            if let Some(status) = self.end.take() {
                return Poll::Ready(Some(self.finish(&status)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            let portion = ready!(self.portions.poll_recv(context));
            self.take_in(portion);
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
    use futures_util::FutureExt;
    use http_body_util::BodyExt;
    use tokio::sync::mpsc;
    use tonic::{Code, Status};

    use super::{CellBody, Portion, message};

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

    fn portion(end: Option<Status>) -> Portion {
        Portion { cells: vec![Bytes::from_static(b"cell")], end }
    }

    #[tokio::test]
    async fn an_answer_ends_with_the_status_that_ended_its_portions() {
        for (end, code) in [(Status::ok(""), Code::Ok), (Status::not_found("a chunk"), Code::NotFound)] {
            let (sender, portions) = mpsc::channel(2);
            sender.send(portion(None)).await.unwrap();
            sender.send(portion(Some(end))).await.unwrap();
            let collected = CellBody::new(portions).await.collect().await.unwrap();
            let status = Status::from_header_map(collected.trailers().unwrap()).unwrap();
            assert_eq!(status.code(), code);
            let mut buffer = MessageBuffer::new(100);
            buffer.push(collected.to_bytes());
            for _ in 0..2 {
                let received = buffer.pop::<GetChunkResponse>().unwrap().unwrap();
                assert_eq!(received.message.cells, [Bytes::from_static(b"cell")]);
            }
            assert!(buffer.is_empty());
        }
    }

    #[tokio::test]
    async fn the_last_portion_is_followed_by_the_end_without_waiting() {
        let (sender, portions) = mpsc::channel(1);
        sender.send(portion(Some(Status::ok("")))).await.unwrap();
        let mut body = CellBody::new(portions).await;
        let frames = std::iter::from_fn(|| body.frame().now_or_never().expect("nothing is waited for"));
        assert_eq!(frames.map(|frame| frame.unwrap().is_trailers()).collect::<Vec<_>>(), [false, false, true]);
        drop(sender);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_ended_is_not_a_good_one() {
        let (sender, portions) = mpsc::channel(1);
        sender.send(portion(None)).await.unwrap();
        drop(sender);
        let collected = CellBody::new(portions).await.collect().await.unwrap();
        let status = Status::from_header_map(collected.trailers().unwrap()).unwrap();
        assert_eq!(status.code(), Code::Unavailable);
    }
}
