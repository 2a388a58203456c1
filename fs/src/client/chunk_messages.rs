use cairn_proto::transport::{DirectChannel, MessageBuffer, ReceivedBody, ReceivedMessage, framed};
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, wire};
use http::header::{CONTENT_TYPE, TE};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::{Code, Status};

const GET_CHUNK: &str = "/cairn.v1.Chunks/GetChunk";

/// The messages that answer a `GetChunk` request. The generated client copies every cell once more, out of the buffer
/// that its messages are put together in; here cells stay where the network left them.
#[derive(Debug)]
pub(super) struct ChunkMessages {
    body: ReceivedBody,
    arrived: MessageBuffer,
}

impl ChunkMessages {
    /// Asks a node, and waits until it has begun to answer.
    pub(super) async fn request(mut channel: DirectChannel, request: &wire::GetChunkRequest) -> Result<Self, Status> {
        let request = http::Request::post(GET_CHUNK)
            .version(http::Version::HTTP_2)
            .header(CONTENT_TYPE, GRPC_CONTENT_TYPE)
            .header(TE, "trailers")
            .body(Body::new(Full::new(framed(request))))
            .expect("the parts are constants");
        let response = channel.call(request).await.map_err(Status::from_error)?;
        if response.status() != http::StatusCode::OK {
            return Err(Status::unknown(format!("the node answered with HTTP status {}", response.status())));
        }
        if let Some(status) = Status::from_header_map(response.headers()) {
            refused(status)?;
        }
        Ok(Self { body: response.into_body(), arrived: MessageBuffer::new(BULK_MESSAGE_LIMIT_BYTES) })
    }

    /// The next message; `None` once the node has ended its answer well.
    pub(super) async fn next(&mut self) -> Result<Option<ReceivedMessage<wire::GetChunkResponse>>, Status> {
        loop {
            if let Some(message) = self.arrived.pop()? {
                return Ok(Some(message));
            }
            let Some(frame) = self.body.frame().await else { return Err(cut_off()) };
            match frame?.into_data() {
                Ok(piece) => self.arrived.push(piece),
                Err(frame) => {
                    let status = frame.trailers_ref().and_then(Status::from_header_map);
                    refused(status.ok_or_else(cut_off)?)?;
                    return if self.arrived.is_empty() { Ok(None) } else { Err(cut_off()) };
                }
            }
        }
    }
}

fn refused(status: Status) -> Result<(), Status> {
    if status.code() == Code::Ok { Ok(()) } else { Err(status) }
}

fn cut_off() -> Status {
    Status::unavailable("the answer was cut off")
}
