//! One thread for the Raft group and few connections, and a second one for the rest.

use std::io;
use std::sync::Arc;

use cairn_proto::transport;
use futures_util::{Stream, StreamExt, stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;

use super::placed_socket::PlacedSocket;
use super::serving_thread::ServingThread;
use super::{DRAIN_DEADLINE, RunError, STREAMS_PER_CONNECTION};

/// Connections served on the thread of the Raft group. With few, handing each request over to another thread and back would
/// cost its sender more than the other thread gains; the other masters' are among them as a rule, since they connect early.
pub(super) const CONNECTIONS_BESIDE_RAFT: usize = 32;
/// Connections on their way to the other thread.
const HANDED_OVER_LIMIT: usize = 16;

/// Serves over TCP by this thread and a second one until told to stop, then lets requests under way end for a moment.
pub(super) async fn serve(routes: Routes, listener: TcpListener, stop: CancellationToken) -> Result<(), RunError> {
    let stop_thread = stop.child_token();
    let _stopped_with_this = stop_thread.clone().drop_guard();
    let (handed_over, connections) = mpsc::channel(HANDED_OVER_LIMIT);
    let thread = ServingThread::start(routes.clone(), connections, stop_thread)?;
    let here = Box::pin(kept_here(transport::tcp_incoming(listener), handed_over));
    let serving = transport::serve(routes, STREAMS_PER_CONNECTION, here, stop, DRAIN_DEADLINE);
    tokio::try_join!(async { Ok(serving.await?) }, thread.ended())?;
    Ok(())
}

/// The connections that come in while there is a place for them; the others are handed over. Ends when nobody takes these.
fn kept_here(
    incoming: TcpIncoming,
    handed_over: mpsc::Sender<std::net::TcpStream>,
) -> impl Stream<Item = io::Result<PlacedSocket>> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_BESIDE_RAFT));
    stream::unfold((incoming, handed_over), move |(mut incoming, handed_over)| {
        let places = Arc::clone(&places);
        async move {
            let kept = next_here(&mut incoming, &handed_over, &places).await?;
            Some((kept, (incoming, handed_over)))
        }
    })
}

async fn next_here(
    incoming: &mut TcpIncoming,
    handed_over: &mpsc::Sender<std::net::TcpStream>,
    places: &Arc<Semaphore>,
) -> Option<io::Result<PlacedSocket>> {
    loop {
        let accepted = match (incoming.next().await?, Arc::clone(places).try_acquire_owned()) {
            (Ok(socket), Ok(place)) => return Some(Ok(PlacedSocket::new(socket, place))),
            (accepted, _) => accepted.and_then(TcpStream::into_std),
        };
        match accepted {
            Ok(socket) => handed_over.send(socket).await.ok()?,
            Err(error) => return Some(Err(error)),
        }
    }
}

#[cfg(test)]
mod tests;
