//! What the node serves. Everything from the wire is checked in here before the store sees it.

mod cell_body;
mod chunks;
mod control;
mod read_stream;
mod rebuild_request;
mod refusal;
mod relay_request;
mod request;

pub(crate) use chunks::{ChunkService, with_made_body};
pub(crate) use control::ControlService;

use tonic::Status;

/// Runs a request to its end even when its caller goes away: a store operation that is dropped half way
/// would leave its segment broken.
async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, Status>> + Send + 'static,
) -> Result<T, Status> {
    let outcome = tokio::spawn(work).await;
    outcome.map_err(|error| Status::internal(format!("the request was cut off: {error}")))?
}
