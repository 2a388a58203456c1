use std::marker::PhantomData;

use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, EncodeBuf, Encoder};
use tonic_prost::ProstDecoder;

/// Room for a message before its length is known. Most messages are shorter; a longer one gets its room at once.
const FIRST_ROOM_BYTES: usize = 512;
/// Bytes of messages of a stream that are sent together.
const SENT_TOGETHER_BYTES: usize = 32 << 10;

/// How messages become bytes: as protobuf, in memory of their own size. The usual codec takes 8 KiB for each message, both
/// ways, which an allocator is slow to find, and which a value that is kept of a small message would hold on to.
#[derive(Debug, Clone)]
pub struct MessageCodec<E, D> {
    messages: PhantomData<(E, D)>,
}

/// The encoder of [`MessageCodec`].
#[derive(Debug, Clone)]
pub struct MessageEncoder<E> {
    messages: PhantomData<E>,
}

impl<E, D> Default for MessageCodec<E, D> {
    fn default() -> Self {
        Self { messages: PhantomData }
    }
}

impl<E, D> Codec for MessageCodec<E, D>
where
    E: Message + 'static,
    D: Message + Default + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = MessageEncoder<E>;
    type Decoder = ProstDecoder<D>;

    fn encoder(&mut self) -> MessageEncoder<E> {
        MessageEncoder { messages: PhantomData }
    }

    fn decoder(&mut self) -> ProstDecoder<D> {
        ProstDecoder::new(settings())
    }
}

impl<E: Message> Encoder for MessageEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, message: E, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(message.encoded_len());
        message.encode(buffer).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(FIRST_ROOM_BYTES, SENT_TOGETHER_BYTES)
}
