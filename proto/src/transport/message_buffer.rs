use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use tonic::Status;

/// Flag and length, before every message of a gRPC stream.
const PREFIX_BYTES: usize = 5;

/// Messages of a gRPC stream, decoded where the network left them: `bytes` fields are slices of what arrived, copied
/// only where a field lies across two pieces. Compressed messages are refused: no peer was offered compression.
#[derive(Debug)]
pub struct MessageBuffer {
    pieces: Pieces,
    /// Length of the message whose prefix was taken off.
    due: Option<usize>,
    limit_bytes: usize,
}

/// A message, and how much memory it may hold on to.
#[derive(Debug, PartialEq, Eq)]
pub struct ReceivedMessage<M> {
    /// The message.
    pub message: M,
    /// The most that one of its fields keeps in memory, as a slice of something larger.
    pub pinned_bytes: usize,
}

/// Bytes that came in pieces, as one buffer.
#[derive(Debug, Default)]
struct Pieces {
    queue: VecDeque<Piece>,
    length: usize,
    /// Size, on arrival, of the largest piece of which a slice was given out.
    largest_lent_bytes: usize,
}

/// What is left of bytes that arrived together; never empty.
#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    arrived_bytes: usize,
}

impl MessageBuffer {
    /// Nothing has arrived. Messages longer than the limit are refused.
    pub fn new(limit_bytes: usize) -> Self {
        Self { pieces: Pieces::default(), due: None, limit_bytes }
    }

    /// Takes in what arrived next.
    pub fn push(&mut self, piece: Bytes) {
        self.pieces.push(piece);
    }

    /// The next message; `None` until all of it has arrived.
    pub fn pop<M: Message + Default>(&mut self) -> Result<Option<ReceivedMessage<M>>, Status> {
        let length = match self.due {
            Some(length) => length,
            None if self.pieces.length < PREFIX_BYTES => return Ok(None),
            None => self.take_prefix()?,
        };
        if self.pieces.length < length {
            return Ok(None);
        }
        self.due = None;
        self.pieces.largest_lent_bytes = 0;
        let message = M::decode((&mut self.pieces).take(length));
        let message = message.map_err(|error| Status::internal(format!("a message does not parse: {error}")))?;
        Ok(Some(ReceivedMessage { message, pinned_bytes: self.pieces.largest_lent_bytes }))
    }

    /// Whether the stream may end here: no message has begun.
    pub fn is_empty(&self) -> bool {
        self.due.is_none() && self.pieces.length == 0
    }

    fn take_prefix(&mut self) -> Result<usize, Status> {
        if self.pieces.get_u8() != 0 {
            return Err(Status::unimplemented("a message is compressed, and nobody asked for that"));
        }
        let length = usize::try_from(self.pieces.get_u32()).unwrap_or(usize::MAX);
        if length > self.limit_bytes {
            let limit = self.limit_bytes;
            return Err(Status::out_of_range(format!("a message has {length} bytes, and {limit} are the limit")));
        }
        self.due = Some(length);
        Ok(length)
    }
}

/// One message as a gRPC stream carries it.
pub fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_BYTES + length);
    put_message_prefix(&mut bytes, length);
    message.encode(&mut bytes).expect("a BytesMut grows");
    bytes.freeze()
}

/// Adds what goes before a message of `length` bytes in a gRPC stream.
pub fn put_message_prefix(bytes: &mut BytesMut, length: usize) {
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).expect("a message is far shorter than 4 GiB"));
}

impl Pieces {
    fn push(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.length += bytes.len();
            self.queue.push_back(Piece { arrived_bytes: bytes.len(), bytes });
        }
    }
}

impl Buf for Pieces {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&[], |piece| &piece.bytes)
    }

    fn advance(&mut self, mut count: usize) {
        assert!(count <= self.length, "advanced by {count}, past the {} bytes that are there", self.length);
        self.length -= count;
        while let Some(first) = self.queue.front_mut() {
            if count < first.bytes.len() {
                return first.bytes.advance(count);
            }
            count -= first.bytes.len();
            self.queue.pop_front();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        if let Some(first) = self.queue.front()
            && length <= first.bytes.len()
        {
            let bytes = first.bytes.slice(..length);
            self.largest_lent_bytes = self.largest_lent_bytes.max(first.arrived_bytes);
            self.advance(length);
            return bytes;
        }
        assert!(length <= self.length, "asked for {length} of {} bytes", self.length);
        let mut bytes = BytesMut::with_capacity(length);
        bytes.put(self.take(length));
        bytes.freeze()
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use tonic::Code;

    use super::{MessageBuffer, framed};
    use crate::wire::GetChunkResponse;

    fn message(sizes: &[usize]) -> GetChunkResponse {
        let cell = |(number, size): (usize, &usize)| Bytes::from(vec![u8::try_from(number).unwrap(); *size]);
        GetChunkResponse { cells: sizes.iter().enumerate().map(cell).collect() }
    }

    fn messages() -> Vec<GetChunkResponse> {
        vec![message(&[300, 0, 7]), message(&[]), message(&[1]), message(&[5_000, 5_000])]
    }

    #[test]
    fn messages_come_out_as_they_went_in_however_the_bytes_were_cut() {
        let stream: Vec<u8> = messages().iter().flat_map(framed).collect();
        for piece_bytes in [1, 2, 3, 5, 6, 64, 301, 4_096, stream.len()] {
            let mut buffer = MessageBuffer::new(1 << 20);
            let mut popped = Vec::new();
            for piece in stream.chunks(piece_bytes) {
                buffer.push(Bytes::copy_from_slice(piece));
                while let Some(received) = buffer.pop::<GetChunkResponse>().unwrap() {
                    popped.push(received.message);
                }
            }
            assert_eq!(popped, messages(), "in pieces of {piece_bytes}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_field_within_one_piece_is_not_copied() {
        let stream = framed(&message(&[64 << 10, 64 << 10]));
        let within = stream.as_ptr_range();
        let mut buffer = MessageBuffer::new(1 << 20);
        buffer.push(stream.clone());
        let received = buffer.pop::<GetChunkResponse>().unwrap().unwrap();
        assert!(received.message.cells.iter().all(|cell| within.contains(&cell.as_ptr())));
        assert_eq!(received.pinned_bytes, stream.len());
    }

    #[test]
    fn a_message_that_is_cut_off_leaves_the_buffer_unfinished() {
        let stream = framed(&message(&[100]));
        for cut in 1..stream.len() {
            let mut buffer = MessageBuffer::new(1 << 20);
            buffer.push(stream.slice(..cut));
            assert_eq!(buffer.pop::<GetChunkResponse>().unwrap(), None);
            assert!(!buffer.is_empty(), "cut at {cut}");
        }
    }

    #[test]
    fn long_compressed_and_garbled_messages_are_refused() {
        let refused = |bytes: &[u8]| {
            let mut buffer = MessageBuffer::new(1 << 10);
            buffer.push(Bytes::copy_from_slice(bytes));
            buffer.pop::<GetChunkResponse>().unwrap_err().code()
        };
        assert_eq!(refused(&[0, 0xff, 0xff, 0xff, 0xff]), Code::OutOfRange);
        assert_eq!(refused(&[1, 0, 0, 0, 0]), Code::Unimplemented);
        // A field that is longer than its message, with more bytes behind it.
        let mut garbled = BytesMut::from(&[0, 0, 0, 0, 2, 0x0a, 0x7f][..]);
        garbled.extend_from_slice(&[0; 200]);
        assert_eq!(refused(&garbled), Code::Internal);
    }
}
