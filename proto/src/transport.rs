//! How the processes of Cairn talk to one another: the settings of every connection, and what may stand in for TCP.

mod connector;
mod direct_channel;
mod endpoint;
mod held_address;
mod message_buffer;
mod message_codec;
mod server;

pub use connector::{ByteStream, Connector, Dialling, TcpConnector};
pub use direct_channel::{DirectChannel, ReceivedBody};
pub use endpoint::{InvalidAddress, Liveness, channel, endpoint};
pub use held_address::HeldAddress;
pub use message_buffer::{MessageBuffer, ReceivedMessage, framed, put_message_prefix};
pub use message_codec::{MessageCodec, MessageEncoder};
pub use server::{drained, serve, server_builder, tcp_incoming};

/// Bytes that a peer may send ahead on one stream.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes that a peer may send ahead on one connection.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// Largest HTTP/2 frame that is accepted: a whole cell or a batch fits in one. The default of 16 KiB costs a third of
/// the throughput.
const FRAME_BYTES: u32 = 1 << 20;
